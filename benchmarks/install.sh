#!/bin/sh
# Makes the peers' environment: sh benchmarks/install.sh FOLDER [PYTHON]
# Torch and what else mapsto needs are shared with PYTHON's environment (python by default) through a .pth file, so that all measure the same torch;
# a constraint keeps pip from taking another one. Then: python -m benchmarks --peers-python FOLDER/bin/python
set -eu
folder=${1:?usage: sh benchmarks/install.sh FOLDER [PYTHON]}
python=${2:-python}
"$python" -m venv "$folder"
shared=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$shared" > "$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
"$python" -c 'import torch; print(f"torch=={torch.__version__}")' > "$folder/constraints.txt"
"$folder/bin/python" -m pip install --constraint "$folder/constraints.txt" \
    lightning==2.6.6 skorch==1.4.0 transformers==5.23.0 accelerate==1.15.0 keras==3.15.1 jax==0.10.2
