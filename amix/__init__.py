"""Attention-guided weight mixup and what every finetuning method of the suite shares."""
