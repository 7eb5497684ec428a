# What the package can do on R torch: the rows of the operator table, with
# torch's own functions to run them.

# Inputs (counted from 1) that say how, not what: an operator gets their numbers, not tensors.
torch_number_inputs <- list(
  Reshape = 2, Expand = 2, Tile = 2, Slice = 2:5, Squeeze = 2, Unsqueeze = 2, Split = 2, Pad = 2:4, Clip = 2:3,
  Dropout = 2:3, ConstantOfShape = 1, Range = 1:3, OneHot = 2:3, CumSum = 2, CumProd = 2, Trilu = 2, Resize = 2:4,
  Upsample = 2, ReduceSum = 2, ReduceMean = 2, ReduceMax = 2, ReduceMin = 2, ReduceProd = 2, ReduceL1 = 2, ReduceL2 = 2,
  ReduceLogSum = 2, ReduceLogSumExp = 2, ReduceSumSquare = 2, LSTM = 5, GRU = 5, RNN = 5, ReverseSequence = 2,
  Attention = 7, NegativeLogLikelihoodLoss = 2, SoftmaxCrossEntropyLoss = 2, TopK = 2, Compress = 2, CenterCropPad = 2,
  Col2Im = 2:3, AffineGrid = 2, RoiAlign = 2:3, MaxUnpool = 3, TensorScatter = 3, DFT = 2:3, STFT = c(2, 4), HannWindow = 1,
  HammingWindow = 1, BlackmanWindow = 1, SequenceAt = 2, SequenceInsert = 3, SequenceErase = 2, SplitToSequence = 2
)

# Inputs that stay as they are, tensors of torch or plain ones.
torch_either_inputs <- list(Gather = 2)

# The table: operator name to row, see operator_table(). `plain` is the operator on plain arrays.
torch_operator_table <- function() {
  if (is.null(table_cache$torch)) {
    require_torch()
    runs <- c(
      torch_window_table(), torch_layer_table(), torch_elementwise_table(), torch_shape_table(), torch_index_table(),
      torch_resize_table(), torch_recurrent_table(), torch_composed_table(),
      torch_control_table(), torch_sequence_table()
    )
    table_cache$torch <- Map(function(row, run, name) {
      row$plain <- row$run
      row$run <- run
      row$numbers <- torch_number_inputs[[name]]
      row$either <- torch_either_inputs[[name]]
      if (name == "Cast") row$refuse <- torch_refuse_cast
      row
    }, operator_table()[names(runs)], runs, names(runs))
  }
  table_cache$torch
}

require_torch <- function() {
  if (!requireNamespace("torch", quietly = TRUE)) {
    stop_kind("onnx_unavailable", "the R package torch is not installed; install it with: install.packages(\"torch\")")
  }
  if (!torch::torch_is_installed()) {
    stop_kind("onnx_unavailable", "R torch has no libtorch here; install it with: torch::install_torch()")
  }
}
