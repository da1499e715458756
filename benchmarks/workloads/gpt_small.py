"""nanoGPT's setting for a laptop's processor (README: n_layer 4, n_head 4, n_embd 128, block_size 64,
batch_size 12), characters of Shakespeare."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="gpt_small",
    says="GPT 4 layers, 128 wide, block 64, batch 12, tinyshakespeare",
    kind="windows",
    data=("lm-corpora.zip!tinyshakespeare.txt",),
    signature="-> text:text(tokenizer=char, max=64)",
    model="gpt(depth=4, heads=4, width=128)",
    lr=1e-3,
    weight_decay=0.1,
    batch=12,
    peers=("plain", "tuned", "ours", "lightning", "huggingface", "skorch", "keras_jax", "keras_torch"),
    bars={
        "tuned": 0.95,
        "plain": 1.1,
        "lightning": 1.1,
        "huggingface": 1.1,
        "skorch": 1.1,
        "keras_jax": 1.1,
        "keras_torch": 1.1,
    },
)
