"""axe-core on a page of the console: what is wrong for people who use assistive technology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.packages.node import PACKAGE, install

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCRIPT: Final = PACKAGE / "node_modules/axe-core/axe.min.js"


def serious(page: Page) -> list[str]:
    """Return what axe calls serious or critical: rule and element."""
    install()
    page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(
        """async () => (await axe.run()).violations
            .filter(({ impact }) => impact === 'serious' || impact === 'critical')
            .flatMap(({ id, nodes }) =>
                nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))"""
    )
    return found
