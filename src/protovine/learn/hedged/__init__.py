"""The hedged soft LVQ, one idea per file, its kernels beside it; `docs/explanation/learner.md` follows this order.

- `experts`: the experts that vote, and their numbers
- `state`: the table of arrays of a learner
- `metrics`: moments, and distances from them
- `relevance`: weights of features in the Relief metric, by differences and by gradient steps
- `recency`: masses and their age
- `votes`: from distances and masses to each expert's probabilities
- `linear`: the expert that needs no prototypes
- `hedge`: losses, and the mean of all experts
- `gaussian`: a normal distribution for each class
- `pairs`, `dependence`: counts of pairs of values by class, and what follows from them
- `pool`: the log-linear mean of all of these, and of transitions between labels
- `solve`: Cholesky factors for both
- `trust`: which received samples count
- `amounts`: which features are on a logarithmic scale
- `placement`: absorb a sample or insert it
- `steps`: one sample's way through all of them
- `layout`: which of them a learner has, by the number of features and classes
- `new_features`: features that come later; `revise`: what is changed afterwards
- `explain`: what a prediction is the sum of
- `core`: `HedgedLVQCore`, the learner over arrays; `entry`: the kernels that it calls
"""
