"""The paper's model in torch: encoder, one file per head, one assembler."""
