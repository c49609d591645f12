"""Sound experiments of every kind, each with other seeds: not one red line."""

import pytest

from nnlab.runs.compose import compose
from nnlab.runs.config import LISTS, members, parse
from nnlab.runs.registry import GROUPS
from nnlab.training.preflight.card import check

FROM_FILES = {"table", "images"} | {
    name for name, source in GROUPS["data"].items() if getattr(source, "published", None)
}
"""Data that do not come with nnlab."""
HEALTHY = (
    "",
    "model.activation=tanh initialiser=xavier",
    "model.activation=sigmoid optimizer.lr=0.2",
    "model.activation=leaky_relu penalty=elastic",
    "model.hidden=[64,64]",
    "model.hidden=[32,32,32] model.batch_norm=true",
    "model.batch_norm=true model.dropout=0.2",
    "model.dropout=0.5",
    "model=linear",
    "model=linear initialiser=zeros",
    "+experiment=softmax_iris",
    "+experiment=svm_digits",
    "+experiment=logistic_breast_cancer",
    "+experiment=ridge_diabetes",
    "data=iris model.hidden=[16]",
    "data=iris model.hidden=[16] model.activation=tanh model.dropout=0.2 loss=mse "
    "optimizer=adam optimizer.lr=0.01",
    "data=iris model=linear loss=squared_hinge optimizer.lr=0.01",
    "data=iris model=linear loss=binary_hinge optimizer=nag optimizer.lr=0.01",
    "data=iris model.hidden=[8] loss=sigmoid_squared_error optimizer.lr=0.2",
    "data=iris label_smoothing=uniform weighting=balanced",
    "data=iris loss=hinge label_smoothing=uniform optimizer.lr=0.01",
    "data=iris weighting=by_class weighting.weights=[1,2,3] penalty=l1",
    "data=iris optimizer=lbfgs batch_size=1000000000",
    "data=iris optimizer=random_local_search",
    "data=iris optimizer=random_search model=linear",
    "data=iris gradient=numerical dtype=float64 model.hidden=[8]",
    "data=iris stopping.max_epochs.epochs=3 model=linear",
    "data=iris batch_size=1 optimizer.lr=0.005",
    "data=iris loss=half_mse model.output=softmax optimizer.lr=0.2",
    "data=iris loss=mse model.output=sigmoid optimizer=adam optimizer.lr=0.01",
    "data=breast_cancer",
    "data=breast_cancer model.hidden=[32,16] model.activation=tanh",
    "data=breast_cancer model=linear loss=binary_hinge optimizer.lr=0.01 penalty.l2=0.001",
    "data=breast_cancer model=linear loss=hinge optimizer.lr=0.01",
    "data=breast_cancer loss=binary_cross_entropy label_smoothing=uniform "
    "weighting=balanced optimizer=rmsprop",
    "data=breast_cancer model=linear optimizer=lbfgs penalty.l2=0.01 batch_size=1000000000",
    "data=breast_cancer model.batch_norm=true optimizer=adamw",
    "data=diabetes loss=mse optimizer=adam",
    "data=diabetes loss=huber optimizer.lr=0.01 model.hidden=[16]",
    "data=diabetes loss=half_mse model.batch_norm=true optimizer.lr=0.01 penalty.l2=0.001",
    "data=diabetes loss=mse model.dropout=0.3 optimizer=nadam",
    "data=diabetes loss=huber model=linear optimizer=sgd optimizer.lr=0.02 averaging=swa",
    "data=diabetes loss=mse model=linear optimizer=lbfgs batch_size=1000000000",
    "data=diabetes loss=mse optimizer=rmsprop validation=fold validation.fold=2",
    "optimizer=sgd",
    "optimizer=nag optimizer.lr=0.02 dtype=float64",
    "optimizer=adagrad",
    "optimizer=adadelta",
    "optimizer=rmsprop averaging.warmup=true",
    "optimizer=adam averaging.bias_correction=false",
    "optimizer=adamw averaging=swa",
    "optimizer=nadam averaging=none",
    "optimizer=lion",
    "optimizer=lion optimizer.weight_decay=0.1 optimizer.lr=0.0003",
    "schedule=cosine warmup=linear",
    "schedule=one_cycle optimizer.lr=0.1",
    "schedule=step clipping=norm",
    "schedule=exponential clipping=value",
    "schedule=inverse_time penalty=none",
    "schedule=reduce_on_plateau schedule.metric=validation/loss_ema",
    "stopping=[max_epochs,patience,loss_below] stopping.loss_below.metric=validation/loss_ema",
    "loss=binary_cross_entropy",
    "loss=squared_hinge optimizer.lr=0.001",
    "loss=binary_hinge optimizer.lr=0.01 weighting=balanced",
    "loss=sigmoid_squared_error optimizer=adam optimizer.lr=0.003",
    "loss=mse optimizer.lr=0.002 data.scale=standard",
    "loss=huber optimizer.lr=0.02 batch_size=128",
    "data.scale=none optimizer.lr=0.001",
    "label_smoothing=uniform penalty=l1 batch_size=64",
    "data.scale=standard optimizer.lr=0.01",
    "initialiser=normal initialiser.std=0.1",
    "penalty.l2=0 averaging.decay=0.999",
    "validation=fold model=linear optimizer.lr=0.1",
    "data=iris optimizer=adagrad optimizer.lr=0.1 averaging.decay=0",
    "data=iris optimizer=adam optimizer.lr=0.01 model.hidden=[4]",
    "data=breast_cancer optimizer=sgd optimizer.lr=0.01",
    "data=iris optimizer.momentum=0 model.hidden=[8,8]",
    "data=breast_cancer optimizer=lion",
    "data=diabetes loss=mse data.standardize_target=false optimizer.lr=0.0005 model=linear",
    "model.hidden=[64,64,64] model.activation=sigmoid model.batch_norm=true",
    "model.hidden=[4]",
    "data=iris model.hidden=[1] model.activation=leaky_relu",
    "data=diabetes loss=mse optimizer.lr=0.002 model.hidden=[1]",
    "stopping.max_epochs.epochs=1000 warmup=linear optimizer=adam",
    "loss=hinge optimizer.lr=0.002",
    "weighting=by_class weighting.weights=[0,1,1,1,1,1,1,1,1,1]",
    "data=iris model.activation=softmax",
    "data=iris data.test=0.4 validation.fraction=0.4",
    "label_smoothing=uniform label_smoothing.epsilon=0.5",
    "optimizer=sgd optimizer.lr=0.01 schedule=one_cycle stopping.max_epochs.epochs=1000",
    "averaging=swa averaging.start=90% optimizer=adam",
    "data=wine",
    "data=line loss=mse model=linear optimizer.lr=0.1",
    "data=parabola loss=mse",
    "data=formula loss=mse optimizer=adam",
    "data=moons",
    "data=blobs optimizer.lr=0.02",
    "data=xor data.noise=0.1",
    "data=gaussian_mixture data.noise=0.2 data.examples=2000",
    "data=checkerboard data.squares=2 data.examples=1000",
    "data=spirals data.turns=0.5 data.examples=1000",
    "preparation=[image_mean,standard] data.scale=none optimizer.lr=0.01",
    "preparation=[subset,unit] preparation.subset.n=800 data.scale=none",
    "preparation=[label_noise] preparation.label_noise.fraction=0.1",
    "data=breast_cancer preparation=[balance]",
    "data=breast_cancer preparation=[smote]",
    "preparation=[pca] preparation.pca.components=20",
    "preparation=[zca] preparation.zca.epsilon=0.1 optimizer.lr=0.02",
    "augmentation=[shift,mixup]",
    "augmentation=[crop,flip] augmentation.crop.padding=1",
)
"""Overrides of the default experiment (digits, an MLP, momentum, L2, EMA)."""
SEEDS = 2 * len(HEALTHY)
QUICK = (
    "data=iris model=linear",
    "data=iris model.hidden=[8] model.batch_norm=true model.dropout=0.2 optimizer=adam",
    "data=diabetes loss=mse model=linear optimizer=lbfgs batch_size=1000000000",
    "data=iris optimizer=random_local_search averaging=swa dtype=float64",
)


def red(overrides, seed):
    """The red lines of the card, with these seeds of the training and of the split."""
    config = parse(compose([*overrides.split(), f"seed={seed}", f"data.split_seed={seed}"]))
    return check(members(config)[0].experiment).red


@pytest.mark.parametrize("overrides", QUICK)
def test_a_sound_experiment_has_no_red_line(overrides):
    assert not red(overrides, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_seed_of_a_sound_experiment_has_a_red_line(seed):
    overrides = HEALTHY[seed % len(HEALTHY)]
    assert not red(overrides, seed), overrides


@pytest.fixture(scope="module")
def tried():
    """The choices that the sound experiments make."""
    return [compose(overrides.split()) for overrides in HEALTHY]


APART = {
    "data": FROM_FILES,
    "features": set(GROUPS["features"]),  # of images from files
    "validation": {"kfold", "given"},  # its members are folds; named by files
}
"""Choices that an experiment cannot make here."""


@pytest.mark.slow
@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"stopping", "tracking", "runtime"}))
def test_every_choice_of_a_group_is_tried(tried, group):
    chosen = [config[group] if group in LISTS else [config[group]["name"]] for config in tried]
    assert {name for names in chosen for name in names} >= set(GROUPS[group]) - APART.get(
        group, set()
    )
