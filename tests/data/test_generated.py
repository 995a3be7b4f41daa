import hashlib

import numpy as np
import pytest

from hw2core.data.generated import CHUNK, CLASSES, generate_images


@pytest.fixture(scope="module")
def arrays():
    return generate_images(600, 300)


def test_shapes_types_and_classes(arrays):
    assert arrays.train_images.shape == (600, 32, 32, 3)
    assert arrays.test_images.shape == (300, 32, 32, 3)
    assert {a.dtype for a in arrays[:4]} == {np.dtype(np.uint8)}
    assert arrays.classes == CLASSES
    assert len(set(CLASSES)) == 10


def test_bytes_are_pinned():
    # A change here makes other images of the same name: results no longer compare.
    arrays = generate_images(20, 10, seed=5)
    digest = hashlib.sha256(b"".join(a.tobytes() for a in arrays[:4])).hexdigest()
    assert digest == "fe9486399c6beaeaa72734c980111d3a5c6cd9de11e0cf0da67f02b639ea21fe"


@pytest.mark.parametrize("number", [1, 37, CHUNK, CHUNK + 1])
def test_a_smaller_set_is_a_prefix(arrays, number):
    small = generate_images(number, 10)
    np.testing.assert_array_equal(small.train_images, arrays.train_images[:number])
    np.testing.assert_array_equal(small.train_labels, arrays.train_labels[:number])
    np.testing.assert_array_equal(small.test_images, arrays.test_images[:10])


def test_any_ten_in_a_row_hold_each_class_once_in_a_random_order(arrays):
    blocks = arrays.train_labels.reshape(-1, 10)
    assert (np.sort(blocks, axis=1) == np.arange(10)).all()
    assert len(np.unique(blocks, axis=0)) == len(blocks)


def test_images_never_repeat_over_chunks_splits_and_seeds(arrays):
    other = generate_images(300, 10, seed=1)
    images = np.concatenate([arrays.train_images, arrays.test_images, other.train_images])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_the_global_generator_is_not_used(arrays):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(generate_images(10, 1).train_images, arrays.train_images[:10])
    assert (np.random.get_state()[1] == before).all()


def test_images_use_the_range_of_bytes_without_saturating(arrays):
    assert 30 < arrays.train_images.std() < 70
    assert 90 < arrays.train_images.mean() < 165
    assert np.isin(arrays.train_images, (0, 255)).mean() < 0.05


def test_the_shape_shows_in_the_mean_picture_of_a_class(arrays):
    # Labels belong to their pictures: a ring's middle is darker than its rim, a disc's is not.
    grey = arrays.train_images.mean(axis=3)
    disc, ring = (grey[arrays.train_labels == CLASSES.index(c)].mean(0) for c in ("disc", "ring"))
    middle, edge = np.s_[13:19, 13:19], np.s_[:, :4]
    assert disc[middle].mean() - disc[edge].mean() > ring[middle].mean() - ring[edge].mean() + 4


@pytest.mark.parametrize(("name", "value"), [("num_train", 0), ("num_test", -1), ("seed", -1)])
def test_arguments_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        generate_images(**{"num_train": 1, "num_test": 1, "seed": 0, name: value})
