"""Writing with a trained net: sampling, beam search, likelihood."""
