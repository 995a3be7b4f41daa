import numpy as np
import pytest

from hw2core.data.split import split_train_validation


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(1).permutation(np.repeat(np.arange(10, dtype=np.uint8), 50))


@pytest.mark.parametrize(
    ("num_train", "num_validation"), [(300, 100), (333, 77), (400, 100), (493, 7), (1, 1), (9, 491)]
)
def test_parts_are_disjoint_stratified_and_of_the_size_asked_for(labels, num_train, num_validation):
    parts = split_train_validation(
        labels, num_train=num_train, num_validation=num_validation, seed=0
    )
    for part, size in zip(parts, (num_train, num_validation), strict=True):
        assert part.dtype == np.int64
        assert part.shape == (size,)
        assert (np.diff(part) > 0).all()
        assert part.min() >= 0
        assert part.max() < len(labels)
        counts = np.bincount(labels[part], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert not set(parts[0]) & set(parts[1])


def test_validation_does_not_depend_on_num_train(labels):
    large = split_train_validation(labels, num_train=400, num_validation=77, seed=3)
    small = split_train_validation(labels, num_train=50, num_validation=77, seed=3)
    np.testing.assert_array_equal(large[1], small[1])
    assert set(small[0]) <= set(large[0])


def test_seed_decides_and_the_global_generator_does_not(labels):
    np.random.seed(0)
    first = split_train_validation(labels, num_train=100, num_validation=50, seed=0)
    np.random.seed(1)
    again = split_train_validation(labels, num_train=100, num_validation=50, seed=0)
    other = split_train_validation(labels, num_train=100, num_validation=50, seed=1)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_split_is_pinned():
    # A change here changes every result: the validation images would be others.
    source = np.arange(40) % 10
    train, validation = split_train_validation(source, num_train=10, num_validation=10, seed=7)
    assert (train.tolist(), validation.tolist()) == (
        [1, 4, 12, 13, 25, 27, 28, 29, 30, 36],
        [0, 3, 5, 6, 9, 14, 18, 22, 31, 37],
    )


def test_asking_for_more_than_there_is_names_the_numbers(labels):
    with pytest.raises(ValueError, match=r"num_train=450.*num_validation=51.*500 images.*501"):
        split_train_validation(labels, num_train=450, num_validation=51, seed=0)
    for name in ("num_train", "num_validation"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
            split_train_validation(
                labels, **{"num_train": 5, "num_validation": 5, "seed": 0, name: 0}
            )


def test_a_class_with_too_few_images_is_named():
    source = np.array([0] * 30 + [1] * 5)
    with pytest.raises(ValueError, match="8 images of class 1, there are 5"):
        split_train_validation(source, num_train=10, num_validation=6, seed=0)
