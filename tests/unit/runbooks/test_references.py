"""References of pages: commands, queries with their metrics, links and anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        ("up == 0", {"up"}),
        ("sum by (route) (rate(a_total{route=~\"b|c\", d='e'}[5m])) / 2e3", {"a_total"}),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m:1m] offset 1h)))", {"a_bucket"}),
        ("a and on(zone) b unless ignoring (x) c or (time() - d) > 1.5", {"a", "b", "c", "d"}),
        ("count without (pod) (a:b:c) default 0", {"a:b:c"}),
    ],
)
def test_metrics_of_a_query_are_names_without_functions_and_labels(query: str, metrics: set[str]) -> None:
    assert references.metrics(query) == metrics


def test_links_to_missing_files_and_headings_are_dead(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(PAGE + "\n[here](#a-page-with-code) [there](other.md#no-such)\n")
    (tmp_path / "other.md").write_text("# Other\n\n## The form\n")

    assert references.dead_links(file) == [Link("nothing.md", ""), Link("other.md", "no-such")]
