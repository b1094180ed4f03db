"""Published body files are read as they are; broken ones are named; nothing in them is run."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.body.files import read_smpl, read_smplh
from mbjax.body.model import Body
from tests.recipes import body as body_recipes
from tests.recipes.body import Call, Global, Named

# The arrays of a Body, to be compared one by one.
ARRAYS = (
    "template_Vx3", "shapes_Vx3xS", "soft_Vx3xD", "pose_shapes_Vx3xP", "weights_VxJ",
    "joint_template_Jx3", "joint_shapes_Jx3xS", "joint_soft_Jx3xD", "faces_Fx3",
)  # fmt: skip


def assert_same_body(got, wanted):
    assert got.parents == wanted.parents
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), err_msg=name)


@pytest.fixture(scope="module")
def arrays():
    return body_recipes.random_body(0)


@pytest.fixture
def published(tmp_path, arrays):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    body_recipes.write_python2_pickle(path, body_recipes.as_published_pickle(arrays), protocol=2)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("num_hidden", [0, 290])
def test_reads_the_published_pickle(tmp_path, arrays, protocol, num_hidden):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    content = body_recipes.as_published_pickle(arrays, num_hidden)
    body_recipes.write_python2_pickle(path, content, protocol)
    body = read_smpl(path)
    assert_same_body(body, Body.from_arrays(arrays))
    assert body.parents == body_recipes.SMPL_PARENTS


def test_the_first_of_300_shape_coefficients_are_used(tmp_path, published, arrays):
    shapes = np.random.default_rng(1).normal(size=(60, 3, 300))
    content = {**body_recipes.as_published_pickle(arrays), "shapedirs": shapes}
    body_recipes.write_python2_pickle(published, content, protocol=2)
    body = read_smpl(published)
    assert body.num_betas == 10
    np.testing.assert_array_equal(body.shapes_Vx3xS, shapes[..., :10].astype(np.float32))
    assert read_smpl(published, num_betas=16).num_betas == 16


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, np.array])
def test_reads_pickles_that_python_3_wrote(tmp_path, arrays, protocol, kind):
    path = tmp_path / "smpl.pkl"
    content = {**arrays, "J_regressor": kind(arrays["J_regressor"]), "scale": np.float64(2)}
    path.write_bytes(pickle.dumps(content, protocol))
    assert_same_body(read_smpl(path), Body.from_arrays(arrays))


def test_reads_old_and_new_names_of_numpy_and_scipy(tmp_path, arrays):
    path = tmp_path / "smpl.pkl"
    plain = pickle.dumps(arrays, protocol=2)
    assert b"numpy._core.multiarray" in plain or b"numpy.core.multiarray" in plain
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        other = plain.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        path.write_bytes(other.replace(b"numpy.core.multiarray", name))
        assert_same_body(read_smpl(path), Body.from_arrays(arrays))
    for module in ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse"):
        sparse = body_recipes.sparse_by_columns(arrays["J_regressor"], module)
        content = {**arrays, "J_regressor": sparse}
        body_recipes.write_python2_pickle(path, content, protocol=2)
        assert_same_body(read_smpl(path), Body.from_arrays(arrays))


def write_smplh(folder, objects=()):
    """A small smplh/male/model.npz and dmpls/male/model.npz; `objects` are kept as pickles."""
    arrays = body_recipes.random_body(1, body_recipes.SMPLH_PARENTS, 104, num_betas=16)
    soft = np.random.default_rng(2).normal(size=(104, 3, 300)) * 0.005
    paths = folder / "smplh" / "male" / "model.npz", folder / "dmpls" / "male" / "model.npz"
    for path in paths:
        path.parent.mkdir(parents=True)
    stored = {
        name: np.array(value, dtype=object) if name in objects else value
        for name, value in {**arrays, "bs_style": np.array("lbs")}.items()
    }
    if "J_regressor" in objects:
        stored["J_regressor"] = np.array(scipy.sparse.csc_matrix(arrays["J_regressor"]))
    np.savez(paths[0], **stored)
    np.savez_compressed(paths[1], eigvec=soft)
    return arrays, soft, *paths


@pytest.mark.parametrize("objects", [(), ("J_regressor",)])
def test_reads_smplh_archives_with_soft_tissue(tmp_path, objects):
    arrays, soft, path, dmpl_path = write_smplh(tmp_path, objects)
    body = read_smplh(path, dmpl_path)
    wanted = Body.from_arrays(arrays, num_betas=16, soft_Vx3xD=soft[..., :8])
    assert_same_body(body, wanted)
    assert (body.num_joints, body.num_betas, body.num_dmpls) == (52, 16, 8)
    assert read_smplh(path).num_dmpls == 0
    assert read_smplh(path, dtype=np.float64).template_Vx3.dtype == np.float64


HARMS = {
    "builtins.eval": lambda mark: Call(Global("__builtin__", "eval"), f"open({mark!r}, 'w')"),
    "os.system": lambda mark: Call(Global("os", "system"), f"touch {mark}"),
    "builtins.open": lambda mark: Call(Global("builtins", "open"), mark, "w"),
    "numpy.core.multiarray.fromfile": lambda mark: Global("numpy.core.multiarray", "fromfile"),
    "chumpy.utils.timer": lambda mark: Global("chumpy.utils", "timer"),
    "chumpy.ch.MatVecMult": lambda mark: Named("chumpy.ch", "MatVecMult", mtx=1),
    "scipy.sparse.base.np": lambda mark: Global("scipy.sparse.base", "np"),
    "numpy.testing._private.utils.runstring": lambda mark: Call(
        Global("numpy.testing._private.utils", "runstring"), f"open({mark!r}, 'w')", {}
    ),
}


@pytest.mark.parametrize("name", HARMS)
def test_any_other_class_is_refused_and_nothing_is_run(tmp_path, arrays, name):
    mark, path = tmp_path / "it-ran", tmp_path / "SMPL_NEUTRAL.pkl"
    content = {**body_recipes.as_published_pickle(arrays), "extra": HARMS[name](str(mark))}
    body_recipes.write_python2_pickle(path, content, protocol=2)
    named = name.replace("builtins.eval", "__builtin__.eval")
    with pytest.raises(ValueError, match="nothing of it was run") as caught:
        read_smpl(path)
    message = str(caught.value)
    assert named in message
    assert str(path) in message
    assert "\n" not in message
    assert not mark.exists()


def test_the_harmful_pickle_would_have_run(tmp_path):
    """The test above is worth something: the ordinary unpickler does run it."""
    mark, path = tmp_path / "it-ran", tmp_path / "bad.pkl"
    body_recipes.write_python2_pickle(path, HARMS["builtins.open"](str(mark)), protocol=2)
    with path.open("rb") as file:
        pickle.load(file).close()
    assert mark.exists()


def test_an_archive_member_of_objects_is_refused_too(tmp_path):
    _, _, path, _ = write_smplh(tmp_path)
    mark = tmp_path / "it-ran"
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    body_recipes.Python2Pickler(member, 2).dump(HARMS["builtins.open"](str(mark)))
    with zipfile.ZipFile(path) as archive:
        kept = {n: archive.read(n) for n in archive.namelist() if n != "weights.npy"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**kept, "weights.npy": member.getvalue()}.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"model\.npz: weights: the pickle names builtins\.open"):
        read_smplh(path)
    assert not mark.exists()


def test_a_pickle_cannot_spoil_the_reader(tmp_path, published, arrays):
    """A pickle sets attributes on objects that it made, and not on the classes that it names."""
    path = tmp_path / "spoiler.pkl"
    for module, name in (("numpy", "ndarray"), ("numpy", "dtype"), ("chumpy.ch", "Ch")):
        named = f"c{module}\n{name}\n".encode()
        set_attributes = b"(N}(X\x0c\x00\x00\x00__setstate__NX\x05\x00\x00\x00valueNutb."
        path.write_bytes(b"\x80\x02" + named + set_attributes)
        with pytest.raises(ValueError, match="a state for what has none"):
            read_smpl(path)
    assert_same_body(read_smpl(published), Body.from_arrays(arrays))


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_named(tmp_path, published, part):
    _, _, archive, dmpls = write_smplh(tmp_path)
    whole_archive = tmp_path / "whole.npz"
    whole_archive.write_bytes(archive.read_bytes())
    readers = {
        published: read_smpl,
        archive: read_smplh,
        dmpls: lambda path: read_smplh(whole_archive, path),
    }
    for path, reader in readers.items():
        content = path.read_bytes()
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match="download it again") as caught:
            reader(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


# Damage to text in a pickle can make an escape that Python warns of; the test wants the error.
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@settings(deadline=None, max_examples=150)  # no limit on time: it would test the machine's load
@given(st.data())
def test_damaged_bytes_are_read_or_named_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    small = body_recipes.random_body(0, num_vertices=24)
    for name in ("v_template", "shapedirs", "posedirs"):  # few plain numbers, more structure
        small[name] = np.zeros_like(small[name])[:1]
    path = folder / "damaged.pkl"
    content = body_recipes.as_published_pickle(small)
    body_recipes.write_python2_pickle(path, content, data.draw(st.sampled_from([0, 2])))
    damaged = bytearray(path.read_bytes())
    where = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(where, min_size=1, max_size=3)):
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged\.pkl: ") as caught:  # as v_template is too short
        read_smpl(path)
    assert "\n" not in str(caught.value)


def test_damaged_bytes_in_an_archive_are_noticed(tmp_path):
    _, _, path, _ = write_smplh(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.npz: broken or cut off \(Bad CRC-32"):
        read_smplh(path)


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pkl: no such.*smpl\.is\.tue\.mpg\.de"):
        read_smpl(tmp_path / "absent.pkl")


BAD_TREE = np.stack([np.r_[2**32 - 1, 2, 0, np.zeros(21, int)], np.arange(24)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None, "posedirs": None}, "posedirs, weights missing"),
        ({"posedirs": np.zeros((60, 3, 206))}, r"posedirs has shape \(60, 3, 206\), \(60, 3, 207"),
        ({"shapedirs": np.zeros((60, 3, 9))}, r"shapedirs has shape \(60, 3, 9\), \(60, 3, 10\)"),
        ({"v_template": np.zeros((0, 3))}, r"v_template has shape \(0, 3\)"),
        ({"v_template": np.full((60, 3), np.nan)}, "v_template has entries that are not finite"),
        ({"v_template": "text"}, "v_template cannot be made an array .*str instead of numbers"),
        ({"v_template": np.array(7.0)}, "v_template has shape"),
        ({"J_regressor": np.zeros((60, 24))}, r"J_regressor has shape \(60, 24\), \(24, 60\)"),
        ({"kintree_table": BAD_TREE}, "not a tree from joint 0"),
        ({"kintree_table": np.zeros((2, 23), int)}, r"kintree_table has shape \(2, 23\)"),
        ({"f": np.zeros((5, 4), int)}, r"f has shape \(5, 4\)"),
        ({"f": np.array([[0, 1, 60]])}, "f names vertices 0 to 60 of 60"),
        ({"f": np.array([[0, 1, -1]])}, "f names vertices -1 to 1 of 60"),
        ({"weights": np.full((60, 24), 0.1)}, "weights of vertex 0 sum to 2.400, smallest 0.100"),
        ({"weights": np.eye(60, 24) * 2 - 1 / 24}, "sum to .* smallest -0.042; the shares"),
        ({"v_template": np.full((60, 3), 1700.0)}, "v_template reaches 1,700 m"),
        ({"v_template": Named("chumpy.ch", "Ch")}, "v_template cannot be made an array .*'x'"),
        (
            {"J_regressor": Named("scipy.sparse.csc", "csc_matrix", _shape=(24, 60))},
            "J_regressor cannot be made an array",
        ),
        (
            {
                "J_regressor": Named(
                    "scipy.sparse.csc",
                    "csc_matrix",
                    _shape=(24, 2),
                    data=np.ones(2),
                    indices=np.array([0, 24]),
                    indptr=np.array([0, 1, 2]),
                )
            },
            "sparse matrix does not fit together",
        ),
    ],
)
def test_wrong_content_is_named(tmp_path, arrays, change, message):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    content = {**body_recipes.as_published_pickle(arrays), **change}
    content = {name: value for name, value in content.items() if value is not None}
    body_recipes.write_python2_pickle(path, content, protocol=2)
    with pytest.raises(ValueError, match=message) as caught:
        read_smpl(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_body_of_another_kind_is_named(tmp_path, published):
    _, _, path, _ = write_smplh(tmp_path)
    with pytest.raises(ValueError, match="a body of 52 joints, 24 were wanted"):
        read_smpl(path)
    body_recipes.write_python2_pickle(published, ["no", "names"], protocol=2)
    with pytest.raises(ValueError, match="v_template.*missing; is it a whole SMPL"):
        read_smpl(published)


def test_soft_tissue_of_another_kind_is_named(tmp_path):
    _, soft, path, dmpl_path = write_smplh(tmp_path)
    with pytest.raises(ValueError, match=r"eigvec has shape \(0,\).*dmpls folder"):
        read_smplh(path, path)
    np.savez(dmpl_path, eigvec=soft[:50])
    with pytest.raises(ValueError, match=r"soft-tissue directions has shape \(50, 3, 8\), \(104"):
        read_smplh(path, dmpl_path)
