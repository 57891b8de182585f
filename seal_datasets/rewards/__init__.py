"""How reward models of every kind score a text, from a classifier run here to a server."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"reward_func": ["as_reward_func"]})
