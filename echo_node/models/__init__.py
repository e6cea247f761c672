"""The paper's model in torch: one encoder, one file per head, one assembler."""
