"""References of pages: commands, queries, links and anchors."""

from __future__ import annotations

from pathlib import Path

from runbooks import references
from runbooks.references import Link

PAGE = """\
# A page: with `code`

See [the other](other.md#the-form) and [nothing](nothing.md), `esq status ENV`, `esq`.

```sh
esq scrub ENV
kubectl get nodes | grep x
uptime
```

```promql
# a comment
sum(up)
```
"""


def test_commands_come_from_blocks_and_backquotes() -> None:
    assert references.commands(PAGE) == ["esq scrub ENV", "kubectl get nodes | grep x", "esq status ENV"]


def test_queries_are_the_lines_of_their_blocks() -> None:
    assert references.queries(PAGE, "promql") == ["sum(up)"]
    assert references.queries(PAGE, "logsql") == []


def test_links_to_missing_files_and_headings_are_dead(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(PAGE + "\n[here](#a-page-with-code) [there](other.md#no-such)\n")
    (tmp_path / "other.md").write_text("# Other\n\n## The form\n")

    assert references.dead_links(file) == [Link("nothing.md", ""), Link("other.md", "no-such")]
