"""What a model is: composition, contacts, coordination, interface, and its labels.

`report.inspect`, `interface.measure_interface`, `compare.compare`, `labels.model_of`.
"""
