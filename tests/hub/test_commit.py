"""What a publication says that it would do."""

from types import SimpleNamespace

from seal_datasets.hub.commit import Change, Repository


def test_a_file_of_somebody_else_is_marked_whatever_its_name():
    files = dict.fromkeys(("my notes.md", "app.py"), SimpleNamespace())
    repo = Repository("me/space", "space", "abc", False, files)
    change = Change(repo, {"my notes.md": b"12", "new.py": b""}, ("app.py",), False, frozenset({"my notes.md"}))
    assert change.lines() == [
        "space me/space  update",
        "  ~ my notes.md (2 bytes)  written by somebody else",
        "  + new.py (0 bytes)",
        "  - app.py",
    ]
