"""The training pipeline: from raw reviews to a promoted champion. Wiring only."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input

from components import specs
from pipelines.tasks import PARAMETERS, outward, sized

RUNGS = list(PARAMETERS["trial"]["rungs"].values())


# a pipeline of its own, as kfp.local evaluates a condition on nothing but a pipeline's inputs
@dsl.pipeline(name="promotion", description="Promotes what has passed the gate.")
def promotion(verdict: Input[Artifact], passed: bool) -> None:
    with dsl.If(passed == True, name="passed the gate"):  # noqa: E712 - kfp's operator
        promote = specs.promote(verdict=verdict)
        sized(promote, "promote to champion")
        outward(promote)


class Selection(NamedTuple):
    """What a rung hands on."""

    selection: Artifact
    selected: list[str]


# likewise, as kfp.local loops over nothing but a pipeline's inputs
@dsl.pipeline(name="search", description="Tries candidates and keeps the best: a rung.")
def search(
    matrix: Input[Dataset], candidates: list[str], budget: float, keep: int, max_iterations: int
) -> Selection:
    with dsl.ParallelFor(candidates) as candidate:
        trial = specs.trial(
            matrix=matrix, candidates=candidate, budget=budget, max_iterations=max_iterations
        )
        sized(trial, "trial")
    select = specs.select(trials=dsl.Collected(trial.outputs["trials"]), keep=keep)
    sized(select, "keep the best")
    return Selection(selection=select.outputs["selection"], selected=select.outputs["selected"])


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
    shard_rows: int = PARAMETERS["prepare"]["shard_rows"],
    max_n: int = PARAMETERS["count"]["max_n"],
    parts: list[str] = PARAMETERS["count"]["parts"],
    min_df: int = PARAMETERS["merge"]["min_df"],
    max_features: int = PARAMETERS["merge"]["max_features"],
    candidates: list[str] = RUNGS[0]["given"]["candidates"],
    max_iterations: int = PARAMETERS["trial"]["max_iterations"],
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
        shard_rows: Reviews in a shard, about.
        max_n: Longest n-gram.
        parts: Tasks that share the shards to count, such as 1/2 and 2/2.
        min_df: Fewest reviews that an n-gram must be in.
        max_features: Most n-grams.
        candidates: What to try, each such as ratio_power=1,idf_power=0.5 or default.
        max_iterations: Most iterations of a fit; the validation reviews say when to stop.
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
        reviews=reviews,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        shard_rows=shard_rows,
    )
    sized(prepare.after(validate), "split reviews")
    test = prepare.outputs["test"]
    # neither a task in a loop nor a loop is renamed: a server finds what a loop made by these names
    # (kubeflow/pipelines#13239)
    with dsl.ParallelFor(parts) as part:
        count = specs.count(
            train=prepare.outputs["train"],
            valid=prepare.outputs["valid"],
            max_n=max_n,
            part=part,
        )
        sized(count, "count")
    merge = specs.merge(
        counts=dsl.Collected(count.outputs["counts"]), min_df=min_df, max_features=max_features
    )
    sized(merge, "merge the counts")
    matrix = merge.outputs["matrix"]
    rungs: list[dsl.PipelineTask] = []
    for rung in RUNGS:
        tried = search(
            matrix=matrix,
            candidates=rungs[-1].outputs["selected"] if rungs else candidates,
            budget=rung["budget"],
            keep=rung["keep"],
            max_iterations=max_iterations,
        )
        tried.set_display_name(f"keep {rung['keep']} of those tried on {rung['budget']:.0%}")
        rungs.append(tried)
    selections = [rung.outputs["selection"] for rung in rungs]
    train = specs.train(
        matrix=matrix, first=selections[0], second=selections[1], third=selections[2]
    )
    sized(train, "train the best candidate")
    model = train.outputs["model"]
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
