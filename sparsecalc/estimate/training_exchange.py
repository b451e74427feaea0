"""What devices that train together send each other in a step, and the seconds that a slower link adds for it."""

from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.training import Recipe, is_expert, trained_params, training_data
from sparsecalc.model.spec import ModelSpec


def exchange_bytes(spec: ModelSpec, recipe: Recipe) -> float:
    """Bytes that one device sends, and receives, in one step of the optimizer; 0 on one device.

        stage 0 to 2   2 G: gradients are reduced and scattered, then they or the new weights are gathered
        stage 3        G + 2 W: weights are gathered for the forward and for the backward pass of each batch
        each times (n - 1) / n; G the gradients' bytes, W those of all weights, trained or not; experts split by ep

    Source: ZeRO, arXiv:1910.02054, section 7.2 (2 and 3 times the parameters where all of them are trained).
    """
    rows = spec.ops(recipe.work)
    outside, inside = trained_params(rows, recipe)
    each = training_data()["training_formats"][recipe.compute.id]["gradient_bytes"]
    gradients = each * (outside + inside / recipe.ep)
    sent = 2 * gradients
    if recipe.zero == 3:
        weights = [rows.sum(recipe.base.weight_bytes, where) for where in (lambda op: not is_expert(op), is_expert)]
        sent = recipe.grad_accum * (gradients + 2 * (weights[0] + weights[1] / recipe.ep))
    elif recipe.zero == 2:
        sent = (recipe.grad_accum + 1) * gradients
    return float(sent * (recipe.num_gpus - 1) / recipe.num_gpus)


def exchange_seconds(spec: ModelSpec, recipe: Recipe, device: DeviceModel) -> float:
    """Seconds of a step's exchange that the measured utilizations do not contain.

        bytes / (share * link) - bytes / (share * NVLink), the link of the measured rows; at least 0

    Beyond the devices that fast links join, the link is the network's. Constants: `exchange` of data/training.json.
    """
    constants, near = training_data()["exchange"], recipe.num_gpus <= device.domain_size
    link = device.link_bytes_per_second if near else min(device.node_bytes_per_second, device.link_bytes_per_second)
    longer = 1 / link - 1 / float(constants["measured_link_bytes_per_second"])
    return exchange_bytes(spec, recipe) / float(constants["link_share"]) * max(0.0, longer)
