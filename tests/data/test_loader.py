import hashlib

import numpy as np
import pytest
import torch

from hw2core.data.augment import Augmentation
from hw2core.data.loader import Loader

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
N, SIDE = 70, 12
ALL_CHANGES = Augmentation(flip=True, translate=2, cutout=3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


def batches(images, **options):
    # The label says which image it is: pairing can be read from a batch.
    # The size divides N: an epoch with a seed yields every image, too.
    settings = {"batch_size": 14, "mean": MEAN, "std": STD} | options
    return Loader(images, np.arange(len(images)), **settings)


def collect(loader):
    parts = list(loader)
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def normalise(images):
    """The slow reference, in float64: (N, H, W, 3) bytes to (N, 3, H, W)."""
    x = (images.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def move(x, *, mirrored, down, right):
    """The slow reference of one (3, H, W) image's augmentation: pixel by pixel."""
    height, width = x.shape[1:]
    out = torch.zeros_like(x)
    for row in range(height):
        for column in range(width):
            r, c = row - down, column - right
            if 0 <= r < height and 0 <= c < width:
                out[:, row, column] = x[:, r, width - 1 - c if mirrored else c]
    return out


def same(a, b):
    return torch.allclose(a.double(), b.double(), atol=1e-5)


def test_without_a_seed_images_come_in_order_exactly_normalised(images):
    loader = batches(images, batch_size=16)
    x, y = collect(loader)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(y, torch.arange(N))
    torch.testing.assert_close(x.double(), normalise(images), atol=1e-6, rtol=1e-5)
    assert [len(part) for part, _ in loader] == [16, 16, 16, 16, 6]


def test_batches_are_channels_last(images):
    for options in ({}, {"seed": 0}, {"seed": 0, "augment": ALL_CHANGES}):
        x, _ = next(iter(batches(images, **options)))
        assert x.shape == (14, 3, SIDE, SIDE)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_a_seeded_epoch_yields_each_image_once_with_its_own_label(images):
    loader = batches(images, seed=0)
    x, y = collect(loader)
    assert not torch.equal(y, torch.arange(N))
    assert torch.equal(y.sort().values, torch.arange(N))
    assert same(x, normalise(images)[y])
    _, first = next(iter(loader))
    assert first.max() > N // 2  # a first batch of the first images only is the classic mistake


@pytest.mark.parametrize("kind", [{"flip": True}, {"translate": 2}, {"cutout": 3}], ids=str)
def test_each_epoch_has_its_own_order_and_augmentation(images, kind):
    loader = batches(images, seed=0, augment=Augmentation(**kind))
    first, again = collect(loader), collect(loader)
    loader.set_epoch(1)
    other = collect(loader)
    loader.set_epoch(0)
    for repeated in (again, collect(loader)):
        assert all(map(torch.equal, repeated, first))
    assert not torch.equal(other[1], first[1])
    assert not torch.equal(*(x[y.argsort()] for x, y in (other, first)))  # image by image


def test_seeds_differ_and_neither_seed_nor_epoch_is_added_to_the_other(images):
    orders = []
    for seed in range(3):
        loader = batches(images, seed=seed)
        for epoch in range(3):
            loader.set_epoch(epoch)
            orders.append(tuple(collect(loader)[1].tolist()))
    assert len(set(orders)) == 9


def test_global_generators_are_neither_read_nor_moved(images):
    epochs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
        epochs.append(collect(batches(images, seed=0, augment=ALL_CHANGES))[0])
        assert torch.equal(torch.get_rng_state(), before)
        assert (np.random.get_state()[1] == numpy_before).all()
    assert torch.equal(*epochs)


def test_order_and_augmented_images_are_pinned(images):
    # A change here changes every result: seeds would no longer name the same training.
    loader = batches(np.zeros((8, SIDE, SIDE, 3), np.uint8), batch_size=8, seed=3)
    loader.set_epoch(2)
    assert collect(loader)[1].tolist() == [0, 5, 4, 3, 7, 6, 1, 2]
    loader = batches(images, seed=3, augment=ALL_CHANGES)
    loader.set_epoch(2)
    x, _ = collect(loader)
    digest = hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()
    assert digest == "a85ec8b96fcc960e3d8a9c9d616a1b4d280ee025b87b71c73dd723c7ba06ff19"


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("translate", [0, 2])
def test_each_image_is_one_of_the_slow_references(images, flip, translate):
    small = images[:60, :5, :7]  # not square: a swap of the axes shows
    augment = Augmentation(flip=flip, translate=translate)
    x, y = collect(batches(small, batch_size=12, seed=0, augment=augment))
    plain = normalise(small)
    moves = [
        {"mirrored": mirrored, "down": down, "right": right}
        for mirrored in ((False, True) if flip else (False,))
        for down in range(-translate, translate + 1)
        for right in range(-translate, translate + 1)
    ]
    seen = []
    for image, label in zip(x, y, strict=True):
        fits = [m for m in moves if same(image, move(plain[label], **m))]
        assert len(fits) == 1
        seen += fits
    assert {m["down"] for m in seen} == set(range(-translate, translate + 1))
    assert {m["right"] for m in seen} == set(range(-translate, translate + 1))
    if flip:
        assert 15 < sum(m["mirrored"] for m in seen) < 45
    if translate:  # drawn for each image and axis by itself
        assert len({(m["down"], m["right"]) for m in seen}) > 15


def test_shifts_are_equally_likely():
    image = np.zeros((4000, 5, 5, 3), np.uint8)
    image[:, 2, 2] = 255
    x, _ = collect(batches(image, seed=0, augment=Augmentation(translate=2), batch_size=4000))
    spots = x[:, 0].flatten(1).argmax(1)
    counts = torch.bincount(spots, minlength=25)
    assert counts.min() > 110  # 160 expected, standard deviation 12
    assert counts.max() < 210


def test_shifted_in_pixels_are_exactly_zero():
    # mean * 255 is no integer here: a byte nearest the mean would not do.
    white = np.full((40, 6, 6, 3), 255, np.uint8)
    x, _ = collect(batches(white, batch_size=10, seed=0, augment=Augmentation(translate=3)))
    values = x.permute(0, 2, 3, 1).reshape(-1, 3)
    blank = (values == 0).all(1)
    assert 0 < blank.sum() < len(values)
    assert same(values[~blank], ((1 - torch.tensor(MEAN)) / torch.tensor(STD)).expand(3)[None])


def test_cutout_blanks_one_whole_square_and_nothing_else(images):
    bright = np.maximum(images, 200)  # no pixel equals the mean
    x, y = collect(batches(bright, seed=0, augment=Augmentation(cutout=5)))
    plain = normalise(bright)[y]
    corners = set()
    for image, original in zip(x, plain, strict=True):
        blank = (image == 0).all(0)
        rows, columns = torch.where(blank)
        assert len(rows) == 25
        assert rows.max() - rows.min() == columns.max() - columns.min() == 4
        assert same(image[:, ~blank], original[:, ~blank])
        corners.add((int(rows.min()), int(columns.min())))
    assert {row for row, _ in corners} == set(range(SIDE - 4))
    assert {column for _, column in corners} == set(range(SIDE - 4))


def test_options_do_not_change_the_order(images):
    _, order = collect(batches(images, seed=0))
    _, augmented = collect(batches(images, seed=0, augment=ALL_CHANGES))
    _, in_big_batches = collect(batches(images, seed=0, batch_size=35))
    assert torch.equal(order, augmented)
    assert torch.equal(order, in_big_batches)


@pytest.mark.parametrize(
    ("size", "batch_size", "seed", "sizes"),
    [
        (70, 16, None, [16, 16, 16, 16, 6]),
        (70, 16, 0, [16, 16, 16, 16]),
        (64, 16, 0, [16, 16, 16, 16]),
        (64, 16, None, [16, 16, 16, 16]),
        (5, 16, 0, [5]),
        (5, 16, None, [5]),
        (16, 16, 0, [16]),
    ],
)
def test_number_and_sizes_of_batches(images, size, batch_size, seed, sizes):
    loader = batches(images[:size], batch_size=batch_size, seed=seed)
    assert loader.batch_size == batch_size
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)
    assert loader.num_images == sum(sizes)


def test_arrays_are_copied_except_read_only_ones(images):
    for mine in (images.copy(), torch.from_numpy(images.copy())):
        loader = batches(mine)
        mine[:] = 0
        assert same(collect(loader)[0], normalise(images))
    frozen = images.copy()
    frozen.flags.writeable = False
    loader = batches(frozen, indices=np.array([5, 3, 8]))
    assert loader._images.data_ptr() == frozen.__array_interface__["data"][0]
    assert same(collect(loader)[0], normalise(images)[[5, 3, 8]])


def test_indices_choose_images_and_their_labels(images):
    chosen = np.array([5, 3, 60])
    for given in (images, torch.from_numpy(images)):
        loader = batches(given, indices=chosen)
        assert loader.num_images == 3
        x, y = collect(loader)
        assert y.tolist() == [5, 3, 60]
        assert same(x, normalise(images)[chosen])


def test_batches_do_not_share_memory_with_the_set(images):
    loader = batches(images)
    for x, y in loader:
        x.zero_()
        y.zero_()
    x, y = collect(loader)
    assert same(x, normalise(images))
    assert torch.equal(y, torch.arange(N))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("batch_size must be >= 1, got 0", {"batch_size": 0}),
        ("translate must be in 0..11, got -1", {"augment": Augmentation(translate=-1)}),
        ("translate must be in 0..11, got 12", {"augment": Augmentation(translate=SIDE)}),
        ("cutout must be in 0..12, got -1", {"augment": Augmentation(cutout=-1)}),
        ("cutout must be in 0..12, got 13", {"augment": Augmentation(cutout=SIDE + 1)}),
        ("std must be 3 numbers, std > 0", {"std": (0.1, 0.0, 0.1)}),
        ("mean and std must be 3 numbers", {"mean": (0.5,)}),
        ("seed must be an integer.*flip=True", {"augment": ALL_CHANGES, "seed": None}),
    ],
)
def test_arguments_out_of_range_are_named(images, message, options):
    with pytest.raises(ValueError, match=message):
        batches(images, **{"seed": 0} | options)


def test_wrong_arrays_are_refused(images):
    options = {"batch_size": 4, "mean": MEAN, "std": STD}
    labels = np.arange(N)
    for bad in (images.astype(np.float32), images.transpose(0, 3, 1, 2), images[0], images[:0]):
        with pytest.raises(ValueError, match="images"):
            Loader(bad, labels[: len(bad)], **options)
    for bad in (labels[:-1], labels[:, None], labels.astype(np.float64)):
        with pytest.raises(ValueError, match="labels"):
            Loader(images, bad, **options)


@pytest.mark.gpu
def test_batches_are_the_same_on_a_gpu(images):
    options = {"seed": 0, "augment": ALL_CHANGES}
    x, y = collect(batches(images, **options))
    x_gpu, y_gpu = collect(batches(images, device="cuda", **options))
    assert x_gpu.is_cuda
    assert torch.equal(y, y_gpu.cpu())
    assert same(x, x_gpu.cpu())


@pytest.mark.parametrize("at_once", [1, 5, 16, 17, 1000])
def test_how_many_are_made_at_a_time_changes_nothing(images, at_once):
    options = {"seed": 3, "augment": ALL_CHANGES}
    expected = batches(images, **options)
    made = batches(images, images_at_once=at_once, **options)
    for batch, batch_made in zip(expected, made, strict=True):
        assert all(map(torch.equal, batch, batch_made))
