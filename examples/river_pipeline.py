"""The default learner in a River pipeline: a flow of features, a classifier, a metric, test then train.

    python examples/river_pipeline.py

`HedgedLVQ` needs no scaler, takes missing values, and says which prototypes decided.
"""

from river import compose, datasets, metrics, stats
from river import feature_extraction as fx

from protovine import HedgedLVQ


def main() -> None:
    """Phishing pages, with one more feature: how often recent pages with this form handler were phishing."""
    recent = fx.TargetAgg(by="empty_server_form_handler", how=stats.EWMean())
    model = compose.TransformerUnion(compose.FuncTransformer(dict), recent) | HedgedLVQ()
    accuracy = metrics.Accuracy()
    for x, y in datasets.Phishing():
        predicted = model.predict_one(x)
        if predicted is not None:
            accuracy.update(y, predicted)
        model.learn_one(x, y)
    print(f"accuracy {accuracy.get():.3f}")
    learner = model[-1]
    print(f"{len(learner)} prototypes of {len(learner.features)} features")
    nearest = learner.explain_one(model.transform_one(x)).prototypes[0]
    print(f"the last page is like one of class {nearest.label} that stands for {nearest.weight:.0f} pages")


if __name__ == "__main__":
    main()
