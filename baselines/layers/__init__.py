"""Methods that train some layers and leave the others as pretrained."""
