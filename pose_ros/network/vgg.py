"""OpenPose's backbone: the first ten convolutions of VGG-19, and two that reduce the channels.

References:
    Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1 (column E).
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.
"""

from __future__ import annotations

from torch import nn

BLOCKS = (
    (("1_1", 64), ("1_2", 64)),
    (("2_1", 128), ("2_2", 128)),
    (("3_1", 256), ("3_2", 256), ("3_3", 256), ("3_4", 256)),
    (("4_1", 512), ("4_2", 512), ("4_3_CPM", 256), ("4_4_CPM", 128)),
)
"""Name and channels of each 3 × 3 convolution. Between blocks, pooling halves the resolution."""


class OpenPoseBackbone(nn.Sequential):
    """Backbone with one feature map. Its layers have the names of OpenPose's Caffe models.

    Args:
        prelu: Whether the activations from conv4_2 on are PReLU, as in BODY_25.
    """

    channels = (128,)
    strides = (8,)

    def __init__(self, prelu: bool = False) -> None:
        super().__init__()
        cin = 3
        for number, block in enumerate(BLOCKS):
            if number:
                self.add_module(f"pool{number}", nn.MaxPool2d(2))
            for name, cout in block:
                self.add_module(f"conv{name}", nn.Conv2d(cin, cout, 3, padding=1))
                if prelu and name >= "4_2":
                    self.add_module(f"prelu{name}", nn.PReLU(cout))
                else:
                    self.add_module(f"relu{name}", nn.ReLU(inplace=True))
                cin = cout
