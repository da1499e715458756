"""The net in float32 with what serves it elsewhere: a Dockerfile and a unit of systemd. Files only; whoever
uses them builds and starts them. What they install holds no PyTorch."""

from __future__ import annotations

from mapsto.config import VERSION
from mapsto.deploy import _card, onnx
from mapsto.deploy._making import Making
from mapsto.files import write_text

HELP = "the net in float32, with a Dockerfile and a systemd unit that serve it"
PORT = 8000
CORE = ("numpy", "onnxruntime", "threadpoolctl")  # what answers always take
SERVERS = ("fastapi", "prometheus-client", "python-multipart", "uvicorn")  # the extra `serve`
PACKAGES, IMAGE, UNIT = "requirements.txt", "Dockerfile", "mapsto.service"

DOCKERFILE = f"""# docker build -t NAME . && docker run --read-only --tmpfs /tmp -p {PORT}:{PORT} NAME
FROM python:3.11-slim
# another version, a wheel or an address: docker build --build-arg MAPSTO=…
ARG MAPSTO="mapsto>={VERSION}"
COPY {PACKAGES} /model/
RUN pip install --no-cache-dir -r /model/{PACKAGES} && pip install --no-cache-dir --no-deps "$MAPSTO"
COPY . /model
USER 65534:65534
EXPOSE {PORT}
HEALTHCHECK --start-period=30s CMD ["python", "-c", \
"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/ready')"]
ENTRYPOINT ["python", "-m", "mapsto", "serve", "model=/model", "--host", "0.0.0.0", "--port", "{PORT}"]
"""

SERVICE = f"""# With this folder as /opt/model, once:
#   python3 -m venv /opt/model/venv
#   /opt/model/venv/bin/pip install -r /opt/model/{PACKAGES}
#   /opt/model/venv/bin/pip install --no-deps mapsto
#   cp /opt/model/{UNIT} /etc/systemd/system/ && systemctl enable --now mapsto
[Unit]
Description=mapsto serve
After=network.target

[Service]
ExecStart=/opt/model/venv/bin/python -m mapsto serve model=/opt/model --port {PORT}
Restart=on-failure
TimeoutStopSec=40
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def write(making: Making) -> list[str]:
    said = onnx.write(making)
    packages = sorted({*CORE, *_card.libraries(making.run), *SERVERS})
    write_text(making.folder / PACKAGES, "\n".join(packages) + "\n")
    write_text(making.folder / IMAGE, DOCKERFILE)
    write_text(making.folder / UNIT, SERVICE)
    way = f"container: docker build -t model {making.target} && docker run -p {PORT}:{PORT} model"
    return [*said, way, f"without one: {UNIT} begins with how it is installed"]
