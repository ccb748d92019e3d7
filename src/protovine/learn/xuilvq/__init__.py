"""XuILVQ, the learner of the paper.

- `kernels`: its state, prediction, learning steps and denoising
- `core`: `XuILVQCore`, the learner over arrays, with compression
"""
