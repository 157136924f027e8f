"""Methods that train some layers and keep the others as pretrained."""
