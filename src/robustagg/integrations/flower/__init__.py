"""Flower's strategies with robust aggregation; :mod:`.legacy` has those of ``flwr.server``, for older Flowers, too."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustagg.integrations.flower.messages import Robust, RobustStrategy

__all__ = ["Robust", "RobustStrategy"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    from robustagg.integrations.flower import messages

    return getattr(messages, name)
