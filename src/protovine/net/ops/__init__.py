"""What keeps a node running for months.

- `server.py`: metrics, health and status over HTTP
- `metrics.py`: a runtime's counts as Prometheus metrics
- `latency.py`: how long shared prototypes travel
- `logs.py`: logs as text or JSON lines; `link_log.py`: links that TLS refused, from Zenoh's log
- `reload.py`: settings and revocation lists that are taken up while the node runs
- `meter.py`: bytes at the process's sockets
"""
