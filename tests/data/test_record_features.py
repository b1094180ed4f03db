"""Records decode to what TFDS makes of them, for every kind of field that corpora have."""

import numpy as np
import pytest

from mbjax.data.record_features import Features

tfds = pytest.importorskip("tensorflow_datasets")


def array(*shape, dtype=np.float32, encoding="bytes"):
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=encoding)


FIELDS = {
    "fixed": array(2, 3),
    "one_unknown": array(None, 3),
    "two_unknown": array(None, None, 17, 3),
    "whole": array(4, dtype=np.int64),
    "plain": array(5, encoding="none"),
    "plain_unknown": array(None, 2, dtype=np.int64, encoding="none"),
    "scalar": tfds.features.Scalar(np.float32),
    "number": np.int64,
    "text": tfds.features.Text(),
}


def test_as_tfds_decodes_them(tmp_path):
    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(FIELDS)
    features.save_config(tmp_path)
    ours = Features(tmp_path)
    for frames in (1, 7):
        example = {
            "fixed": rng.normal(size=(2, 3)).astype(np.float32),
            "one_unknown": rng.normal(size=(frames, 3)).astype(np.float32),
            "two_unknown": rng.normal(size=(2, frames, 17, 3)).astype(np.float32),
            "whole": np.arange(4),
            "plain": rng.normal(size=5).astype(np.float32),
            "plain_unknown": np.arange(2 * frames).reshape(frames, 2),
            "scalar": 1.1,
            "number": -3,
            "text": "héllo",
        }
        data = features.serialize_example(example)
        got, theirs = ours.decode(data), features.deserialize_example_np(data)
        theirs["text"] = theirs["text"].decode()
        assert sorted(got) == sorted(theirs)
        for name, wanted in theirs.items():
            assert type(got[name]) is type(wanted), name
            np.testing.assert_array_equal(got[name], wanted)
            if isinstance(wanted, np.ndarray):
                assert got[name].dtype == wanted.dtype and got[name].shape == wanted.shape


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_not_in_the_record_is_named(tmp_path, name):
    features = tfds.features.FeaturesDict({name: FIELDS[name]})
    features.save_config(tmp_path)
    with pytest.raises(ValueError, match=f"no {name}"):
        Features(tmp_path).decode(b"")
