"""The live page: a swarm as it learns, from a simulation, a recorded run, or real nodes.

- `Board`: folds records into what the page shows; no I/O, no clock
- `Live`, `Recorded`: where records come from
- `Server`: the page and its pictures over HTTP (Starlette); ``static/`` has the page itself, without a build step
"""
