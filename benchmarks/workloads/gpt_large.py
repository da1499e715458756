"""nanoGPT's shakespeare_char net (config/train_shakespeare_char.py: n_layer 6, n_head 6, n_embd 384,
block_size 256) with a batch for a processor."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="gpt_large",
    says="GPT 6 layers, 384 wide, block 256, batch 8, tinyshakespeare",
    kind="windows",
    data=("lm-corpora.zip!tinyshakespeare.txt",),
    signature="-> text:text(tokenizer=char, max=256)",
    model="gpt(depth=6, heads=6, width=384)",
    lr=1e-3,
    weight_decay=0.1,
    batch=8,
    peers=("plain", "tuned", "ours", "lightning", "huggingface", "skorch", "keras_jax", "keras_torch"),
    bars={
        "tuned": 0.95,
        "plain": 2.3,
        "lightning": 2.3,
        "huggingface": 2.3,
        "skorch": 2.3,
        "keras_jax": 2.3,
        "keras_torch": 2.3,
    },
)
