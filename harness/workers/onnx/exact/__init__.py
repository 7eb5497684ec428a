"""Operators that take the place of those of onnx.reference that are wrong, single precision in float64, or absent.

Each cites the fault; the others are onnx.reference's own. All compute in the dtype that they are given: float64 in an oracle.
"""

from __future__ import annotations

from onnx.reference.op_run import OpRun

from harness.workers.onnx.exact import (
    activations,
    classical,
    convolution,
    fused,
    indexing,
    losses,
    normalisation,
    pooling,
    qlinear,
    quantisation,
    recurrent,
    resize,
    sampling,
    softmax,
    support_vectors,
    trees,
)
from harness.workers.onnx.exact.control import Loop
from harness.workers.onnx.exact.operator import Compute, operator

_FUNCTIONS: dict[str, Compute] = {
    "AffineGrid": sampling.affine_grid,
    "AveragePool": pooling.average_pool,
    "BatchNormalization": normalisation.batch_normalization,
    "Conv": convolution.conv,
    "ConvInteger": quantisation.conv_integer,
    "ConvTranspose": convolution.conv_transpose,
    "DequantizeLinear": quantisation.dequantize_linear,
    "DynamicQuantizeLinear": quantisation.dynamic_quantize_linear,
    "Erf": activations.erf,
    "Flatten": indexing.flatten,
    "GRU": recurrent.gru,
    "Gelu": activations.gelu,
    "GatherElements": indexing.gather_elements,
    "GlobalLpPool": pooling.global_lp_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "GridSample": sampling.grid_sample,
    "GroupNormalization": normalisation.group_normalization,
    "HardSwish": activations.hard_swish,
    "Hardmax": softmax.hardmax,
    "LRN": normalisation.local_response_normalization,
    "LSTM": recurrent.lstm,
    "LayerNormalization": normalisation.layer_normalization,
    "LogSoftmax": softmax.log_softmax,
    "LpNormalization": normalisation.lp_normalization,
    "LpPool": pooling.lp_pool,
    "MaxPool": pooling.max_pool,
    "MeanVarianceNormalization": normalisation.mean_variance_normalization,
    "NegativeLogLikelihoodLoss": losses.negative_log_likelihood,
    "Pad": indexing.pad,
    "QLinearConv": quantisation.qlinear_conv,
    "QLinearMatMul": quantisation.qlinear_matmul,
    "RMSNormalization": normalisation.rms_normalization,
    "RNN": recurrent.rnn,
    "Resize": resize.resize,
    "RoiAlign": sampling.roi_align,
    "Softmax": softmax.softmax,
    "Softsign": activations.softsign,
    "Unique": indexing.unique,
    "Upsample": resize.upsample,
}

#: The same of the domain ``ai.onnx.ml``.
_CLASSICAL: dict[str, Compute] = {
    "CategoryMapper": classical.category_mapper,
    "LabelEncoder": classical.label_encoder,
    "LinearClassifier": classical.linear_classifier,
    "LinearRegressor": classical.linear_regressor,
    "SVMClassifier": support_vectors.svm_classifier,
    "Scaler": classical.scaler,
    "TreeEnsemble": trees.tree_ensemble,
    "TreeEnsembleClassifier": trees.tree_ensemble_classifier,
    "ZipMap": classical.zip_map,
}

_MICROSOFT = {**fused.OPERATORS, **qlinear.OPERATORS}

#: The classes that a ReferenceEvaluator takes as ``new_ops``.
OPERATORS: list[type[OpRun]] = [
    *(operator(name, compute) for name, compute in _FUNCTIONS.items()),
    *(operator(name, compute, "ai.onnx.ml") for name, compute in _CLASSICAL.items()),
    *(operator(name, compute, "com.microsoft", defaults) for name, (compute, defaults) in _MICROSOFT.items()),
    Loop,
]
