from .associations import associations as associations
from .card import DataCard as DataCard
from .card import data_card as data_card
from .copies import near_copies as near_copies
from .suited import suited_methods as suited_methods
