"""A conda channel, a wheelhouse and locked workspaces, all real, made where the tests run.

python -m tests.channel DEST [--large]
"""
