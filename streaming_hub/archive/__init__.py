"""The archive: every session kept in SQL, measured, searchable.

    history -> follow -> feed ══ process ══> worker -> store    rows, position       (one transaction a page)
    web     -> Archive.ask  ══ process ══> worker -> queries, stats

Left of the double line is the hub, right of it a process of its own. In between is `wire`. Pure are `words`, `reduce`,
`figures`, `spoken`, `views`. Imports nothing here, or the archive's process would load the hub.
"""
