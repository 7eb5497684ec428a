# The rows of the operator table of the domain ai.onnx.ml; their opsets are those of the domain.

# The nodes of TreeEnsembleClassifier and TreeEnsembleRegressor.
tree_node_attributes() = (
    "nodes_treeids" => Required(:ints), "nodes_nodeids" => Required(:ints), "nodes_featureids" => Required(:ints),
    "nodes_modes" => Required(:texts), "nodes_values" => Absent(:floats), "nodes_values_as_tensor" => Absent(:tensor),
    "nodes_truenodeids" => Required(:ints), "nodes_falsenodeids" => Required(:ints),
    "nodes_missing_value_tracks_true" => Absent(:ints), "nodes_hitrates" => Absent(:floats),
    "nodes_hitrates_as_tensor" => Absent(:tensor), "base_values" => Absent(:floats), "base_values_as_tensor" => Absent(:tensor)
)

of_domain(name) = string("ai.onnx.ml.", name)

classical_rows() = (of_domain(name) => row for (name, row) in (
    "TreeEnsembleClassifier" => Operator(op_tree_ensemble_classifier, [1, 3, 5], 1, tree_node_attributes()...,
        "post_transform" => "NONE", "classlabels_int64s" => Absent(:ints), "classlabels_strings" => Absent(:texts),
        "class_ids" => Required(:ints), "class_nodeids" => Required(:ints), "class_treeids" => Required(:ints),
        "class_weights" => Absent(:floats), "class_weights_as_tensor" => Absent(:tensor); refuse=prepare_tree_classifier),
    "TreeEnsembleRegressor" => Operator(op_tree_ensemble_regressor, [1, 3, 5], 1, tree_node_attributes()...,
        "post_transform" => "NONE", "aggregate_function" => "SUM", "n_targets" => Absent(:int),
        "target_ids" => Required(:ints), "target_nodeids" => Required(:ints), "target_treeids" => Required(:ints),
        "target_weights" => Absent(:floats), "target_weights_as_tensor" => Absent(:tensor); refuse=prepare_tree_regressor),
    "TreeEnsemble" => Operator(op_tree_ensemble, 5, 1, "aggregate_function" => 1, "post_transform" => 0,
        "tree_roots" => Required(:ints), "nodes_hitrates" => Absent(:tensor), "nodes_missing_value_tracks_true" => Absent(:ints),
        "nodes_modes" => Required(:tensor), "leaf_weights" => Required(:tensor), "leaf_targetids" => Required(:ints),
        "nodes_falsenodeids" => Required(:ints), "n_targets" => Absent(:int), "nodes_trueleafs" => Required(:ints),
        "nodes_featureids" => Required(:ints), "nodes_splits" => Required(:tensor), "nodes_falseleafs" => Required(:ints),
        "nodes_truenodeids" => Required(:ints), "membership_values" => Absent(:tensor); refuse=prepare_tree_ensemble),
    "LinearClassifier" => Operator(op_linear_classifier, 1, 1, "post_transform" => "NONE", "classlabels_ints" => Absent(:ints),
        "classlabels_strings" => Absent(:texts), "multi_class" => 0, "intercepts" => Absent(:floats),
        "coefficients" => Required(:floats); refuse=refuse_linear_classifier),
    "LinearRegressor" => Operator(op_linear_regressor, 1, 1, "post_transform" => "NONE", "targets" => 1,
        "intercepts" => Absent(:floats), "coefficients" => Required(:floats); refuse=refuse_transform),
    "SVMRegressor" => Operator(op_svm_regressor, 1, 1, "post_transform" => "NONE", "n_supports" => 0, "one_class" => 0,
        "rho" => Required(:floats), "coefficients" => Required(:floats), "support_vectors" => Absent(:floats),
        "kernel_params" => Absent(:floats), "kernel_type" => "LINEAR"; refuse=refuse_kernel),
    "SVMClassifier" => Operator(op_svm_classifier, 1, 1, "post_transform" => "NONE", "classlabels_ints" => Absent(:ints),
        "classlabels_strings" => Absent(:texts), "coefficients" => Absent(:floats), "kernel_params" => Absent(:floats),
        "kernel_type" => "LINEAR", "prob_a" => Absent(:floats), "prob_b" => Absent(:floats), "rho" => Required(:floats),
        "support_vectors" => Absent(:floats), "vectors_per_class" => Absent(:ints); refuse=refuse_svm_classifier),
    "Scaler" => Operator(op_scaler, 1, 1, "offset" => Absent(:floats), "scale" => Absent(:floats)),
    "Normalizer" => Operator(op_normalizer, 1, 1, "norm" => "MAX"; refuse=refuse_norm),
    "Imputer" => Operator(op_imputer, 1, 1, "imputed_value_floats" => Absent(:floats), "imputed_value_int64s" => Absent(:ints),
        "replaced_value_float" => 0.0, "replaced_value_int64" => 0),
    "Binarizer" => Operator(op_binarizer, 1, 1, "threshold" => 0.0),
    "ArrayFeatureExtractor" => Operator(op_array_feature_extractor, 1, 2),
    "FeatureVectorizer" => Operator(op_feature_vectorizer, 1, (1, unlimited), "inputdimensions" => Absent(:ints)),
    "LabelEncoder" => Operator(op_label_encoder, [1, 2, 4], 1, "classes_strings" => Absent(:texts), "default_int64" => -1,
        "default_float" => 0.0, "default_string" => "_Unused", "default_tensor" => Absent(:tensor),
        "keys_floats" => Absent(:floats), "keys_int64s" => Absent(:ints), "keys_strings" => Absent(:texts),
        "keys_tensor" => Absent(:tensor), "values_floats" => Absent(:floats), "values_int64s" => Absent(:ints),
        "values_strings" => Absent(:texts), "values_tensor" => Absent(:tensor)),
    "CategoryMapper" => Operator(op_category_mapper, 1, 1, "cats_int64s" => Required(:ints), "cats_strings" => Required(:texts),
        "default_int64" => -1, "default_string" => "_Unused"),
    "OneHotEncoder" => Operator(op_one_hot_encoder, 1, 1, "cats_int64s" => Absent(:ints), "cats_strings" => Absent(:texts),
        "zeros" => 1),
    "ZipMap" => Operator(op_zip_map, 1, 1, "classlabels_int64s" => Absent(:ints), "classlabels_strings" => Absent(:texts);
        refuse=check_zip_map),
))
