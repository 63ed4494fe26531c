"""A real small language model on a free port: prints its address, ends with its standard input.

Its arguments are the file of the weights and the most tokens of an answer. One thread: on a busy
machine two of them wait for each other most of the time.
"""

from __future__ import annotations

import sys

import xllamacpp


def main() -> None:
    """Serve."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = sys.argv[1]
    wanted.n_predict = int(sys.argv[2])
    wanted.n_ctx, wanted.n_parallel, wanted.port, wanted.warmup = 4096, 1, 0, False
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.sampling.seed = 1
    server = xllamacpp.Server(wanted)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
