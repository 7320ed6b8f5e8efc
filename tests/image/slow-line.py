"""A registry behind a slow line: slow-line.py PORT UPSTREAM BYTES-A-SECOND, until it is ended."""

import sys
import time

import proxy


class Line(proxy.Proxy):
    def __init__(self, port, upstream, rate):
        super().__init__(upstream, port=port)
        self.fault("GET", "/blobs/", rate=rate)


if __name__ == "__main__":
    Line(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    while True:
        time.sleep(1000)
