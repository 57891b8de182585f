"""The parser of one verb: common options in --help, all in --help-all, and values from a recipe below those of flags."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from seal_datasets.cli.recipe import read_recipe
from seal_datasets.errors import DataError


class VerbParser(argparse.ArgumentParser):
    """A parser with a short help and recipes.

    Attributes:
        common (`tuple[str, ...]`): Options that --help shows; all when empty.
    """

    common: tuple[str, ...] = ()
    _show_all = False

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - those of argparse
        super().__init__(**kwargs)
        self.register("action", "append", _Append)

    def complete(self) -> None:
        """Add what every verb has: --config, a --no- form of each switch, and --help-all where --help is short."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for kind in action.choices.values():
                    kind.complete()
                return
        for switch in [action for action in self._actions if action.const is True]:
            negative = switch.option_strings[-1].replace("--", "--no-", 1)
            self.add_argument(
                negative, dest=switch.dest, action="store_false", default=switch.default, help=argparse.SUPPRESS
            )
        self.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="recipe: a YAML file of options, named as here with _ for -; flags win over it, and --no-NAME "
            "switches off what it switches on",
        )
        if self.common:
            self.add_argument("--help-all", action=_HelpAll, help="show every option and exit")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words; options of a recipe take the place of defaults.

        Args:
            args (`Sequence[str]`, *optional*): Words; those of the process when omitted.
            namespace (`Namespace`, *optional*): Where to put the values.

        Returns:
            `tuple[Namespace, list[str]]`: The options and words left over. `changed` names the options that differ from
            their defaults.
        """
        words = list(sys.argv[1:] if args is None else args)
        defaults = {action.dest: action.default for action in self._actions}
        recipe = self._find_recipe(words) if "config" in defaults else None
        if recipe is not None:
            self._take_recipe(recipe)
        options, rest = super().parse_known_args(words, namespace)
        if "config" in defaults and options.config != recipe:
            self.error("write --config in full, before any --")
        given = vars(options)
        options.changed = {name for name, value in defaults.items() if name in given and given[name] != value}
        return options, rest

    def format_usage(self) -> str:
        """One line of the options that help shows."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._shown(self._actions), self._mutually_exclusive_groups)
        return formatter.format_help()

    def format_help(self) -> str:
        """Help of the common options, or of all."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._shown(self._actions), self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        for group in self._action_groups:
            if actions := self._shown(group._group_actions):
                formatter.start_section(group.title)
                formatter.add_text(group.description)
                formatter.add_arguments(actions)
                formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _shown(self, actions: Iterable[argparse.Action]) -> list[argparse.Action]:
        always = ("help", "help_all", "config")
        return [
            action
            for action in actions
            if self._show_all
            or not self.common
            or action.dest in (*always, *self.common)
            or not set(self.common).isdisjoint(action.option_strings)
        ]

    def _find_recipe(self, words: list[str]) -> Path | None:
        finder = argparse.ArgumentParser(prog=self.prog, add_help=False, allow_abbrev=False)
        finder.add_argument("--config", type=Path)
        config: Path | None = finder.parse_known_args(words)[0].config
        return config

    def _take_recipe(self, path: Path) -> None:
        """Make the recipe's values the defaults; what it gives is no longer required as a word."""
        try:
            values = read_recipe(path, self._actions, self.prog.partition(" ")[2])
        except DataError as error:
            self._refuse(str(error))
        self.set_defaults(**values)
        for action in self._actions:
            if action.dest in values:
                action.required = False

    def _refuse(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


class _Append(argparse._AppendAction):
    """Repeated options; the first word replaces the list of a recipe."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - as in argparse
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is self.default:
            setattr(namespace, self.dest, [])
        super().__call__(parser, namespace, values, option_string)


class _HelpAll(argparse.Action):
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - as in argparse
        super().__init__(nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, VerbParser)
        parser._show_all = True
        parser.print_help()
        parser.exit()
