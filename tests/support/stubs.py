"""To be imported before a host: stands in for packages that it imports and its server never uses, gigabytes of them."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import ClassVar


class Anything(type):
    """The type of empty classes that have whatever is asked of them."""

    def __getattr__(cls, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class Stub(ModuleType):
    """A module that has whatever is asked of it."""

    __path__: ClassVar[list[str]] = []
    __getattr__ = Anything.__getattr__


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, *packages: str) -> None:
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] in self.packages else None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


NEVER_USED = {
    "fedbiomed": "itk monai nibabel opacus polars torchvision unet",
    "fedlab": "pynvml torchvision",
    "fedml": "boto3 gensim h5py onnx torchvision tritonclient",
    "fl4health": "opacus torchvision",
    "fluke": "clearml datasets matplotlib opacus seaborn tensorboard torchmetrics torchvision wandb",
}
"""By host."""

for host, packages in NEVER_USED.items():
    if importlib.util.find_spec(host):
        sys.meta_path.append(Stubs(*(name for name in packages.split() if not importlib.util.find_spec(name))))
