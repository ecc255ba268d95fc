"""Measure a model package on real code, through the engine that editors use.

    cli         the command
    measure     opens engines, shows progress
    sources     files from paths
    holes       which pieces of them are taken out
    fill        what the engine writes there
    similarity  how alike that and the removed text are
    humaneval   a public benchmark whose fills are run
    sandbox     runs programs, under limits
    candidate   the sandbox's child process
    figures     records to figures, two runs to differences
    report      tables and JSON
    plot        pictures

What each figure means stands in docs/evaluation.md.
"""
