"""The flags of a command that may run as one of several processes (mbjax/devices/cluster.py)."""


def add_arguments(parser) -> None:
    """Adds the group 'several hosts'; `cluster.joined(vars(args), say)` reads what it parsed."""
    group = parser.add_argument_group(
        "several hosts", "found without flags on TPU pods, GKE and Slurm; same as MBJAX_* variables"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is")
    group.add_argument("--num-processes", type=int, help="how many processes the run has")
    group.add_argument("--process-id", type=int, help="which of them this one is, from 0")
    group.add_argument(
        "--init-timeout", type=float, metavar="SECONDS", help="how long to wait for all (300)"
    )
