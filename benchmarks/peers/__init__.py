"""One file a contender, with `run(task, clock)`: learn without end and call `clock.step(rows)` after every
step.

ours.py             mapsto's trainer with the plan it measured itself
tuned.py            the best loop we can write by hand: the limit
plain.py            the loop of PyTorch's tutorials
lightning.py, huggingface.py, skorch.py, keras.py (keras_jax, keras_torch)
"""
