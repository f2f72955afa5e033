"""The training pipeline: from raw reviews to a promoted champion. Wiring only."""

from kfp import dsl
from kfp.dsl import Artifact, Input

from components import specs
from pipelines.tasks import PARAMETERS, outward, sized


# a pipeline of its own, as kfp.local evaluates a condition on nothing but a pipeline's inputs
@dsl.pipeline(name="promotion", description="Promotes what has passed the gate.")
def promotion(verdict: Input[Artifact], passed: bool) -> None:
    with dsl.If(passed == True, name="passed the gate"):  # noqa: E712 - kfp's operator
        promote = specs.promote(verdict=verdict)
        sized(promote, "promote to champion")
        outward(promote)


@dsl.pipeline(
    name="training",
    display_name="Sentiment: training",
    description="From raw reviews to a champion, if the new model is not worse than the present.",
)
def training(
    source: str = PARAMETERS["ingest"]["source"],
    text_column: str = PARAMETERS["ingest"]["text_column"],
    label_column: str = PARAMETERS["ingest"]["label_column"],
    min_rows: int = PARAMETERS["validate"]["min_rows"],
    max_empty: float = PARAMETERS["validate"]["max_empty"],
    min_class: float = PARAMETERS["validate"]["min_class"],
    max_duplicates: float = PARAMETERS["validate"]["max_duplicates"],
    max_conflicts: float = PARAMETERS["validate"]["max_conflicts"],
    max_length: int = PARAMETERS["validate"]["max_length"],
    max_damaged: float = PARAMETERS["validate"]["max_damaged"],
    valid_fraction: float = PARAMETERS["prepare"]["valid_fraction"],
    test_fraction: float = PARAMETERS["prepare"]["test_fraction"],
    max_n: int = PARAMETERS["train"]["max_n"],
    min_df: int = PARAMETERS["train"]["min_df"],
    alpha: float = PARAMETERS["train"]["alpha"],
    max_iterations: int = PARAMETERS["train"]["max_iterations"],
    ratio_power: float = PARAMETERS["train"]["ratio_power"],
    idf_power: list[float] = PARAMETERS["train"]["candidates"]["idf-power"],
    name: str = PARAMETERS["register"]["name"],
    margin: float = PARAMETERS["gate"]["margin"],
    gate_alpha: float = PARAMETERS["gate"]["alpha"],
    min_accuracy: float = PARAMETERS["gate"]["min_accuracy"],
    capability_margin: float = PARAMETERS["gate"]["capability_margin"],
) -> None:
    """Train, judge and promote.

    Args:
        source: A file, s3://bucket/key, https://host/path or builtin (25,000 IMDB reviews).
        text_column: Column of the text.
        label_column: Column of the label, positive/negative, pos/neg or 1/0.
        min_rows: Fewest reviews.
        max_empty: Largest share of reviews without text.
        min_class: Least share of the rarer label.
        max_duplicates: Largest share of copies.
        max_conflicts: Largest share of texts that have both labels.
        max_length: Characters that a review may have.
        max_damaged: Largest share of texts that were decoded wrongly.
        valid_fraction: Share of the reviews that candidates are chosen on.
        test_fraction: Share of the reviews that the gate judges on.
        max_n: Longest n-gram.
        min_df: Fewest reviews that an n-gram must be in.
        alpha: Smoothing of the n-gram counts.
        max_iterations: Most iterations of the fit; the validation reviews say when to stop.
        ratio_power: Power of the log-count ratio in an n-gram's weight, a multiple of one half.
        idf_power: Powers of the inverse document frequency, likewise; one candidate each.
        name: Registered model.
        margin: Loss of accuracy that nobody would mind.
        gate_alpha: Level of the test for a loss.
        min_accuracy: Floor for the first champion.
        capability_margin: Share of the cases of a capability that may be lost.
    """
    ingest = specs.ingest(source=source, text_column=text_column, label_column=label_column)
    sized(ingest, "ingest reviews")
    outward(ingest)
    reviews = ingest.outputs["reviews"]
    validate = specs.validate(
        reviews=reviews,
        min_rows=min_rows,
        max_empty=max_empty,
        min_class=min_class,
        max_duplicates=max_duplicates,
        max_conflicts=max_conflicts,
        max_length=max_length,
        max_damaged=max_damaged,
    )
    sized(validate, "validate reviews")
    prepare = specs.prepare(
        reviews=reviews, valid_fraction=valid_fraction, test_fraction=test_fraction
    )
    sized(prepare.after(validate), "split reviews")
    test = prepare.outputs["test"]
    with dsl.ParallelFor(idf_power) as value:
        train = specs.train(
            train=prepare.outputs["train"],
            valid=prepare.outputs["valid"],
            max_n=max_n,
            min_df=min_df,
            alpha=alpha,
            max_iterations=max_iterations,
            ratio_power=ratio_power,
            idf_power=value,
        )
        # neither it nor the loop is renamed: a server finds what a loop made by these names
        # (kubeflow/pipelines#13239)
        sized(train, "train", memory="2Gi")
    select = specs.select(candidates=dsl.Collected(train.outputs["candidates"]))
    sized(select, "select the best candidate")
    model = select.outputs["model"]
    evaluate = specs.evaluate(model=model, test=test)
    sized(evaluate, "evaluate on test reviews")
    register = specs.register(
        name=name,
        model=model,
        metrics=evaluate.outputs["metrics"],
        findings=evaluate.outputs["findings"],
        plots=evaluate.outputs["plots"],
        test=test,
    )
    sized(register, "register the challenger")
    outward(register)
    gate = specs.gate(
        registered=register.outputs["registered"],
        test=test,
        margin=margin,
        alpha=gate_alpha,
        min_accuracy=min_accuracy,
        capability_margin=capability_margin,
    )
    sized(gate, "judge the challenger")
    outward(gate)
    promotion(verdict=gate.outputs["verdict"], passed=gate.outputs["passed"])
