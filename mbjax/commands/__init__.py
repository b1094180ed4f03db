"""The subcommands of `mbjax`, one file a group.

The only room with argparse and print; imports any room.
"""
