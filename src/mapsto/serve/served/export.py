"""An exported run, served: no PyTorch is imported for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mapsto.files import read_json
from mapsto.lite.exported import FILE, PARITY, Exported, is_export
from mapsto.prediction import Prediction
from mapsto.serve.served._rows import Rows


class Export(Rows):
    """What `mapsto export` wrote."""

    noun: ClassVar[str] = f"an exported run (a folder with {FILE})"

    def __init__(self, path: Path):
        self.exported = Exported.open(path, threads=1)
        super().__init__(path, self.exported, names=True)  # of the types, which stand in its folder anyway

    @classmethod
    def is_here(cls, path: Path) -> bool:
        return is_export(path)

    def describe(self) -> dict[str, Any]:
        proved = read_json(self.path / PARITY, {}) if (self.path / PARITY).is_file() else {}
        found = {slot: one for slot, one in proved.get("outputs", {}).items() if "metric" in one}
        metrics = {slot: {one["metric"]: one["export"]["value"]} for slot, one in found.items()}
        return {**super().describe(), "metrics": metrics}

    def warm(self) -> None:
        super().warm()
        if self.writes:
            self.exported.warm()

    def use(self, threads: int) -> None:
        self.exported = self.folder = Exported.open(self.path, threads)

    def predictions(self, encoded: Any, size: int) -> dict[str, list[Prediction]]:
        return self.exported.answered(encoded, size, self.classes)
