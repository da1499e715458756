"""LitServe, as `benchmarks.serving` asks it: its batches as large and its wait as long as mapsto's.

    SERVED_RUN=RUN SERVED_THREADS=1 python -m benchmarks.serving_litserve PORT
"""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]
from fastapi import Request

from benchmarks.serving import Net


class Api(litserve.LitAPI):
    """The net, in LitServe's words."""

    def setup(self, device: Any) -> None:
        self.net = Net()

    def decode_request(self, request: Request) -> Any:
        return self.net.decode(request["image"].file.read())  # type: ignore[index]

    def batch(self, inputs: list[Any]) -> list[Any]:
        return list(inputs)

    def predict(self, x: list[Any]) -> list[dict[str, Any]]:
        return self.net.answer(x)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=256, batch_timeout=0.005, api_path="/served")
    server = litserve.LitServer(api, accelerator="cpu", healthcheck_path="/ready")
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="error")
