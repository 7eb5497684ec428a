# Classical models, texts and maps: operators of ai.onnx.ml.

isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

ml(operator, inputs, outputs; attributes...) = onnx_node(operator, inputs, outputs; domain="ai.onnx.ml", attributes...)
apply_ml(operator, inputs...; attributes...) = apply_operator("ai.onnx.ml." * operator, inputs...; attributes...)

function ml_model(nodes, inputs, outputs, initializers=[]; version=1)
    [onnx_model(nodes, inputs, outputs, initializers); wire_bytes(8, [wire_text(1, "ai.onnx.ml"); wire_number(2, version)])]
end

# A sequence of maps from texts to float32.
function maps_value(name)
    map = wire_bytes(5, [wire_number(1, 8); wire_bytes(2, wire_bytes(1, wire_number(1, 1)))])
    [wire_text(1, name); wire_bytes(2, wire_bytes(4, wire_bytes(1, map)))]
end

# Two trees: x[0] <= 0.5, and x[1] > 1 where what is missing goes on.
forest() = ml(
    "TreeEnsembleClassifier", "x", ["label", "scores"]; classlabels_strings=["oak", "ash", "elm"],
    nodes_treeids=[0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2], nodes_featureids=[0, 0, 0, 1, 0, 0],
    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"], nodes_values=[0.5, 0, 0, 1, 0, 0],
    nodes_truenodeids=[1, 0, 0, 1, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
    nodes_missing_value_tracks_true=[0, 0, 0, 1, 0, 0], class_treeids=[0, 0, 1, 1, 1], class_nodeids=[1, 2, 1, 2, 2],
    class_ids=[0, 1, 1, 0, 2], class_weights=[0.5, 0.5, 0.5, 0.25, 0.25]
)
forest_input = onnx_value("x", "float32", ["n", 2])
zip_node() = ml("ZipMap", "scores", "maps"; classlabels_strings=["oak", "ash", "elm"])
samples = Float32[0 1 0; 0 2 NaN]

@testset "a forest goes the way of each split, also where values are missing" begin
    model = read_bytes(ml_model([forest()], [forest_input], [onnx_value("label", "string"), onnx_value("scores")]))
    found = predict(model, samples)
    @test found["label"] == ["oak", "ash", "oak"]
    @test found["scores"] == Float32[0.75 0 0.5; 0 1 0.5; 0.25 0 0]
    @test predict(model, samples; batch_size=2) == found
    @test predict(model, samples; type=:class, output="label") == ["oak", "ash", "oak"]
end

@testset "sums over trees round after each tree, so that equal votes are equal" begin
    # 0.1 + 0.1 + 0.1 is 0.3 in single precision alone; the first of equal classes counts.
    votes(x) = apply_ml(
        "TreeEnsembleClassifier", x; outputs=2, classlabels_int64s=[5, 7, 9], nodes_treeids=[0, 1, 2, 3], nodes_nodeids=zeros(Int, 4),
        nodes_featureids=zeros(Int, 4), nodes_modes=fill("LEAF", 4), nodes_values=zeros(4), nodes_truenodeids=zeros(Int, 4),
        nodes_falsenodeids=zeros(Int, 4), class_treeids=[0, 1, 2, 3], class_nodeids=zeros(Int, 4), class_ids=[0, 0, 0, 1],
        class_weights=Float64.(Float32[0.1, 0.1, 0.1, 0.3])
    )
    @test votes(Float32[0, 1])[1] == [5]
    @test votes([0.0, 1])[1] == [7]
    @test votes([0.0, 1])[2] isa Matrix{Float32}
end

@testset "maps are Dicts, and scores of classes" begin
    model = read_bytes(ml_model([forest(), zip_node()], [forest_input], [onnx_value("label", "string"), maps_value("maps")]))
    found = predict(model, samples)["maps"]
    @test found[1] == Dict("oak" => 0.75f0, "ash" => 0.0f0, "elm" => 0.25f0)
    @test length(found) == 3
    @test predict(model, samples; type=:class) == ["oak", "ash", "ash"]
    # By growing class: ash, elm, oak.
    @test predict(model, samples; type=:prob)[:, 1] == Float32[0, 0.25, 0.75]
    read_on = ml_model([forest(), zip_node(), onnx_node("Identity", "maps", "y")], [forest_input], [onnx_value("y")])
    @test refuses(() -> read_bytes(read_on), :unsupported, r"maps \('maps'\)")
end

@testset "texts are looked up, and what is unknown has the default" begin
    encode = ml("LabelEncoder", "x", "y"; keys_strings=["a", "bä"], values_int64s=[3, 4], default_int64=9)
    model = read_bytes(ml_model([encode], [onnx_value("x", "string", ["n"])], [onnx_value("y", "int64")]; version=2))
    @test model(["bä", "?", "a"]) == [4, 9, 3]
    @test model(SubString.(["a b"], 1, 1)) == [3]
    @test refuses(() -> model([1.0]), :bad_input, r"the model takes string")
    number(keys, x; version) = apply_ml("LabelEncoder", x; opset=version, keys_floats=keys, values_strings=["a", "b"])
    @test number([0.0, NaN], [-0.0f0, NaN32, 1.0f0]; version=4) == ["a", "b", "_Unused"]
    @test number([0.0, NaN], [NaN32]; version=2) == ["_Unused"]
    @test apply_ml("LabelEncoder", ["b", "?"]; opset=1, classes_strings=["a", "b"]) == [1, -1]
    @test apply_ml("LabelEncoder", [1, 5]; opset=1, classes_strings=["a", "b"], default_string="?") == ["b", "?"]
    tensors = (keys_tensor=["a", "b"], values_tensor=Int16[1, 2], default_tensor=Int16[7])
    @test apply_ml("LabelEncoder", ["b", "c"]; opset=4, tensors...) == Int16[2, 7]
    @test apply_ml("CategoryMapper", [6, 1]; cats_strings=["a", "b"], cats_int64s=[5, 6]) == ["b", "_Unused"]
end

@testset "texts of a file, and what moves them" begin
    texts = [wire_number(1, 2); wire_number(2, 8); wire_text(8, "t"); wire_text(6, "one"); wire_text(6, "")]
    nodes = [onnx_node("Gather", ["t", "x"], "picked"), onnx_node("Constant", String[], "c"; value_strings=["é"]),
        onnx_node("Concat", ["picked", "c"], "all"; axis=0), onnx_node("Equal", ["all", "c"], "same")]
    model = read_bytes(onnx_model(
        nodes, [onnx_value("x", "int64", ["n"])], [onnx_value("all", "string"), onnx_value("same", "bool")], [texts]; opset=19
    ))
    found = predict(model, [1, 0])
    @test found["all"] == ["", "one", "é"]
    @test found["same"] == [false, false, true]
    @test P.texts_of_bytes(P.bytes_of_texts(["ä", "", "xyz"])) == ["ä", "", "xyz"]
    @test refuses(
        () -> read_bytes(onnx_model(nodes, [], [onnx_value("all")], [[texts; wire_text(6, "three")]])), :bad_input, "needs 2 texts"
    )
end

@testset "features are scaled, filled, cut and joined" begin
    @test apply_ml("Scaler", Float32[1 3; 2 4]; offset=[1.0, 2.0], scale=[2.0]) == Float32[0 4; 0 4]
    @test apply_ml("Scaler", [3, 5]; offset=[1.0]) isa Vector{Float32}
    @test apply_ml("Normalizer", Float32[3 0; 4 0]; norm="L2") == Float32[0.6 0; 0.8 0]
    @test refuses(() -> apply_ml("Normalizer", Float32[-1, 2]), :unsupported, "negative")
    @test apply_ml("Imputer", Float32[NaN 1; 2 NaN]; imputed_value_floats=[7.0, 8.0], replaced_value_float=NaN) == Float32[7 1; 2 8]
    @test apply_ml("Imputer", [0, 5]; imputed_value_int64s=[3]) == [3, 5]
    @test apply_ml("Binarizer", Float32[0.5, 0.6]; threshold=0.5) == Float32[0, 1]
    @test apply_ml("ArrayFeatureExtractor", ["a" "d"; "b" "e"; "c" "f"], [2, 0]) == ["c" "f"; "a" "d"]
    @test apply_ml("FeatureVectorizer", Float32[1 2], Float32[3 5; 4 6]; inputdimensions=[2, 1]) == Float32[1 2; 0 0; 3 5]
    @test apply_ml("OneHotEncoder", ["b", "?"]; cats_strings=["a", "b"]) == Float32[0 0; 1 0]
    @test refuses(() -> apply_ml("OneHotEncoder", [9]; cats_int64s=[1], zeros=0), :bad_input, "none of the categories")
end

@testset "scores become probabilities" begin
    linear(transform) = apply_ml(
        "LinearClassifier", Float32[1, 2]; coefficients=[1.0, 0, 0, 1, 0, 0], classlabels_ints=[4, 5, 6], post_transform=transform
    )
    @test linear("NONE") == ([5], reshape(Float32[1, 2, 0], 3, 1))
    @test linear("SOFTMAX")[2] ≈ exp.([1, 2, 0]) / sum(exp.([1, 2, 0]))
    @test linear("SOFTMAX_ZERO")[2] ≈ [exp(1), exp(2), 0] / (exp(1) + exp(2))
    @test P.probit(0.975) ≈ 1.96 atol = 0.01
    two(transform) = apply_ml(
        "LinearClassifier", Float32[1, 2]; coefficients=[1.0, 2], classlabels_ints=[0, 1], post_transform=transform
    )
    @test two("LOGISTIC")[2][2] ≈ 1 / (1 + exp(-5))
    @test refuses(() -> two("NONE"), :unsupported, "one row of coefficients")
    @test refuses(() -> linear("SQUARE"), :unsupported, "post_transform 'SQUARE'")
end

@testset "trees are checked when the file is read" begin
    regression(if_true, features=[0, 0]) = ml_model(
        [ml("TreeEnsembleRegressor", "x", "y"; nodes_treeids=[0, 0], nodes_nodeids=[0, 1], nodes_featureids=features,
            nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ"], nodes_values=[0.0, 0], nodes_truenodeids=if_true, nodes_falsenodeids=[1, 0],
            target_ids=[0], target_treeids=[0], target_nodeids=[0], target_weights=[1.0], n_targets=1)],
        [onnx_value("x", "float32", ["n", 1])], [onnx_value("y")]
    )
    @test refuses(() -> read_bytes(regression([1, 0])), :bad_input, "leads back")
    @test refuses(() -> read_bytes(regression([1, 7])), :bad_input, "its tree does not have")
    @test refuses(() -> read_bytes(regression([1])), :bad_input, "differ in length")
    without = onnx_model([forest()], [forest_input], [onnx_value("scores")])
    @test refuses(() -> read_bytes(without), :bad_input, "which opset of domain 'ai.onnx.ml'")
end

@testset "trees of the newer operator, with sets of members" begin
    ensemble(x; attributes...) = apply_ml(
        "TreeEnsemble", x; tree_roots=[0], nodes_modes=UInt8[0, 6], nodes_featureids=[0, 1], nodes_splits=Float32[1, 0],
        nodes_trueleafs=[0, 1], nodes_truenodeids=[1, 0], nodes_falseleafs=[1, 1], nodes_falsenodeids=[2, 1],
        leaf_targetids=[0, 1, 0], leaf_weights=Float32[1, 2, 4], membership_values=Float32[5, 7, NaN], n_targets=2,
        opset=5, attributes...
    )
    x = Float32[0 0 2 NaN; 5 6 5 7]
    @test ensemble(x) == Float32[1 0 4 4; 0 2 0 0]
    @test ensemble(x; aggregate_function=2) == ensemble(x)
    @test ensemble(Float64.(x)) isa Matrix{Float64}
end

@testset "support vectors vote in pairs of classes" begin
    machine(x; attributes...) = apply_ml(
        "SVMClassifier", x; outputs=2, classlabels_ints=[4, 5], vectors_per_class=[1, 1], support_vectors=[1.0, 0, 0, 1],
        coefficients=[2.0, -1], rho=[0.5], attributes...
    )
    label, scores = machine(Float32[1 0; 0 3])
    @test label == [4, 5]
    @test scores == Float32[-2.5 2.5; 2.5 -2.5]
    # The share of the first class is 1 / (1 + exp(-2.5)) where the slope is -1.
    @test machine(Float32[1, 0]; prob_a=[-1.0], prob_b=[0.0])[2] ≈ [1, exp(-2.5)] ./ (1 + exp(-2.5))
    @test refuses(() -> machine(Float32[1, 0]; post_transform="SOFTMAX"), :unsupported, "post_transform 'SOFTMAX'")
    @test refuses(() -> machine(Float32[1, 0]; vectors_per_class=nothing), :unsupported, "without support vectors")
    @test apply_ml("SVMRegressor", Float32[1 2; 3 4]; coefficients=[1.0, 2], rho=[0.5]) == Float32[7.5 10.5]
end
