"""Measure a model package on real code, through the engine that editors use.

    cli         the command
    sources     files from paths
    holes       which pieces of them are taken out
    fill        what the engine writes there, and how it compares
    humaneval   a public benchmark whose fills are run
    sandbox     runs them, under limits
    figures     records -> figures, with intervals for differences
    report      tables and JSON
    plot        pictures

What each figure means stands in docs/evaluation.md.
"""
