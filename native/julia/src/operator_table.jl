# What the package can do: every operator with the opsets that changed it, its inputs, its attributes and their defaults.
# The rest of the package asks this table and knows no operator by name.

"""
    operator_table()

The operators: name to [`Operator`](@ref).
"""
operator_table() = Dict{String,Operator}()
