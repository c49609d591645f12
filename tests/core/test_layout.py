import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.layout import Layout

LAYOUT = Layout.of({"a.weight": (2, 3), "a.bias": (3,), "b.weight": (3, 1), "b.bias": (1,)})


def test_arrays_are_packed_one_after_another():
    views = LAYOUT.views(np.arange(13))
    assert LAYOUT.size == 13
    np.testing.assert_array_equal(views["a.weight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(views["a.bias"], [6, 7, 8])
    np.testing.assert_array_equal(views["b.weight"], [[9], [10], [11]])
    np.testing.assert_array_equal(views["b.bias"], [12])


def test_only_names_that_end_in_weight_are_penalised():
    assert LAYOUT.weights == (slice(0, 6), slice(9, 12))


def test_leading_axes_are_kept():
    theta = np.arange(2 * 5 * 13.0).reshape(2, 5, 13)
    for name, view in LAYOUT.views(theta).items():
        assert view.shape == (2, 5, *LAYOUT.slots[name].shape)
        np.testing.assert_array_equal(view[1, 3], LAYOUT.views(theta[1, 3])[name])


def test_an_empty_layout_has_size_zero():
    assert Layout.of({}).size == 0
    assert Layout.of({}).weights == ()


@settings(max_examples=50, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), max_size=5),
    leading=st.lists(st.integers(1, 3), max_size=2).map(tuple),
)
def test_views_cover_theta_once_and_write_through(shapes, leading):
    layout = Layout.of({str(k): shape for k, shape in enumerate(shapes)})
    theta = np.zeros((*leading, layout.size))
    for view in layout.views(theta).values():
        view += 1
    np.testing.assert_array_equal(theta, 1)
