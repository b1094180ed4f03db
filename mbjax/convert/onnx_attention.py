"""ONNX files whose attention is one operator of ONNX Runtime, MultiHeadAttention.

That operator takes queries, keys and values as the layer before gives them, so the reshapes and
transposes round each attention go as well. It is of ONNX Runtime's own domain: other runtimes do
not have it.
"""

import collections
import os

DOMAIN = "com.microsoft"


def fuse(path: str | os.PathLike, num_heads: int) -> int:
    """Rewrites a file whose attentions are ONNX's own operator (opset 23); how many there were.

    ValueError where one stands between other nodes than PyTorch's exporter puts round it.
    """
    import onnx

    model = onnx.load(os.fspath(path))
    graph = model.graph
    by_output = {name: node for node in graph.node for name in node.output}
    users = collections.defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)

    def before(name, kind):
        node = by_output.get(name)
        if node is None or node.op_type != kind:
            raise ValueError(f"{path}: {name} does not come from a {kind}")
        return node

    def after(name, kind):
        if [node.op_type for node in users[name]] != [kind]:
            raise ValueError(f"{path}: {name} does not go to a {kind} alone")
        return users[name][0]

    attentions = [node for node in graph.node if node.op_type == "Attention"]
    for number, node in enumerate(attentions):
        rows = [before(before(name, "Transpose").input[0], "Reshape") for name in node.input[:3]]
        last = after(after(node.output[0], "Transpose").output[0], "Reshape")
        whole = onnx.helper.make_node(
            "MultiHeadAttention", [row.input[0] for row in rows], list(last.output),
            name=f"attention_{number}", domain=DOMAIN, num_heads=num_heads,
        )  # fmt: skip
        place = list(graph.node).index(last)
        graph.node.remove(last)
        graph.node.insert(place, whole)
    _drop_unused(graph)
    model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    onnx.save(model, os.fspath(path))
    return len(attentions)


def _drop_unused(graph):
    """Nodes and constants that nothing uses any more."""
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [one for one in graph.initializer if one.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    known = {name for node in graph.node for name in node.output}
    values = [one for one in graph.value_info if one.name in known]
    del graph.value_info[:]
    graph.value_info.extend(values)
