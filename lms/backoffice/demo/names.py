"""Kenyan names, places, trades and purposes, from which the demo makes its people."""

# Given names, then for each community the names that tell women and men apart, and surnames.
WOMEN = (
    "Mary", "Grace", "Faith", "Mercy", "Esther", "Jane", "Lucy", "Ann", "Caroline", "Purity",
    "Joyce", "Beatrice", "Lilian", "Eunice", "Rose", "Winnie", "Dorcas", "Naomi", "Susan", "Irene",
)  # fmt: skip
MEN = (
    "John", "Peter", "James", "Joseph", "David", "Samuel", "Brian", "Kevin", "Dennis", "Paul",
    "Stephen", "Daniel", "Francis", "George", "Patrick", "Collins", "Victor", "Simon", "Moses",
    "Charles",
)  # fmt: skip
MUSLIM_WOMEN = ("Amina", "Fatuma", "Halima", "Khadija", "Zainab", "Mwanaisha", "Saida", "Asha")
MUSLIM_MEN = ("Abdi", "Hassan", "Mohamed", "Ali", "Omar", "Yusuf", "Ibrahim", "Salim")

# Community: (women's middle names, men's middle names, surnames).
COMMUNITIES = {
    "kikuyu": (
        ("Wanjiku", "Wambui", "Njeri", "Nyambura", "Wangari", "Wairimu", "Muthoni", "Wanjiru"),
        ("Kamau", "Njoroge", "Mwangi", "Kariuki", "Kimani", "Macharia", "Gitau", "Ndung'u"),
        (
            "Kamau",
            "Njoroge",
            "Mwangi",
            "Kariuki",
            "Kimani",
            "Maina",
            "Waweru",
            "Karanja",
            "Githinji",
        ),
    ),
    "luo": (
        ("Achieng", "Atieno", "Akinyi", "Awuor", "Anyango", "Adhiambo", "Akoth", "Apiyo"),
        ("Otieno", "Ochieng", "Odhiambo", "Omondi", "Owino", "Okoth", "Onyango", "Ouma"),
        ("Otieno", "Ochieng", "Odhiambo", "Omondi", "Owino", "Okello", "Onyango", "Ouma", "Ogola"),
    ),
    "kalenjin": (
        ("Chebet", "Jepkosgei", "Cherono", "Jeptoo", "Chepkemoi", "Jerotich", "Chelimo"),
        ("Kiprono", "Kipchumba", "Kibet", "Kiplagat", "Kipkemboi", "Kiprotich", "Cheruiyot"),
        ("Koech", "Rotich", "Korir", "Ruto", "Bett", "Sang", "Kirui", "Langat", "Tanui"),
    ),
    "luhya": (
        ("Nafula", "Nekesa", "Naliaka", "Nasimiyu", "Khasoa", "Mwenje", "Ayuma"),
        ("Wafula", "Simiyu", "Barasa", "Wekesa", "Makokha", "Juma", "Shikuku"),
        ("Wafula", "Simiyu", "Barasa", "Wekesa", "Makokha", "Wanyonyi", "Mukhwana", "Lusweti"),
    ),
    "kamba": (
        ("Mwende", "Ndinda", "Mumbua", "Kanini", "Nduku", "Wayua", "Syombua"),
        ("Mutua", "Musyoka", "Kioko", "Mutiso", "Muli", "Kilonzo", "Wambua"),
        ("Mutua", "Musyoka", "Kioko", "Mutiso", "Muthama", "Kilonzo", "Ndambuki", "Nzioka"),
    ),
    "somali": (
        ("Hodan", "Ifrah", "Sahra", "Nimo", "Deqa", "Ayaan"),
        ("Abdullahi", "Adan", "Hussein", "Noor", "Farah", "Warsame"),
        ("Abdi", "Hassan", "Mohamud", "Ahmed", "Osman", "Farah", "Ismail", "Noor"),
    ),
    "coast": (
        ("Mwanajuma", "Rehema", "Zuhura", "Sidi", "Kadzo", "Mbodze"),
        ("Kazungu", "Charo", "Baraka", "Rashid", "Mwinyi", "Katana"),
        ("Mwakio", "Kazungu", "Charo", "Mwinyi", "Said", "Baya", "Katana", "Salim"),
    ),
}
MUSLIM = ("somali", "coast")
# How the people of each branch are mixed, in percent.
MIX = {
    "DEMONRB": {
        "kikuyu": 34, "kamba": 20, "luhya": 14, "luo": 12, "kalenjin": 8, "somali": 8, "coast": 4,
    },
    "DEMOKSM": {
        "luo": 52, "luhya": 24, "kalenjin": 12, "kikuyu": 6, "kamba": 3, "somali": 2, "coast": 1,
    },
}  # fmt: skip
TOWNS = {
    "DEMONRB": (
        "Gikomba", "Kawangware", "Githurai 45", "Kayole", "Umoja", "Eastleigh", "Kangemi", "Kibera",
        "Rongai", "Ruiru", "Pipeline", "Zimmerman", "Kasarani", "Mathare North", "Toi Market",
    ),
    "DEMOKSM": (
        "Kondele", "Nyalenda", "Manyatta", "Kibuye Market", "Mamboleo", "Ahero", "Maseno",
        "Nyamasaria", "Otonglo", "Obunga", "Dunga Beach", "Muhoroni",
    ),
}  # fmt: skip
TRADES = (
    "Mitumba seller", "Boda boda rider", "Hairdresser", "Greengrocer", "Tailor", "Fishmonger",
    "Teacher", "Matatu driver", "Nurse", "Poultry farmer", "Dairy farmer", "Welder", "M-Pesa agent",
    "Hotel keeper", "Shopkeeper", "Carpenter", "Mechanic", "Cobbler", "Clerk", "Security guard",
)  # fmt: skip
BUSINESSES = (
    "Agrovet", "Hardware", "General Stores", "Chemist", "Butchery", "Wholesalers", "Hotel",
    "Cyber Café", "Auto Spares", "Millers", "Boutique", "Electronics",
)  # fmt: skip
BUSINESS_FIRST = (
    "Baraka", "Neema", "Tumaini", "Upendo", "Amani", "Jitegemee", "Lakeview", "Mwangaza", "Umoja",
    "Faraja", "Imani", "Pamoja", "Highway", "Nyota", "Riverside",
)  # fmt: skip
PURPOSES = {
    "MKOPO30": ("School fees", "Hospital bill", "Rent", "Stock for the week", "Family emergency"),
    "BIASHARA": (
        "Stock for the shop",
        "A second stall",
        "Mitumba bale",
        "Sewing machine",
        "Fridge",
    ),
    "MSHAHARA": ("School fees", "House improvement", "Land deposit", "Medical", "Furniture"),
    "KILIMO": ("Dairy cow and feed", "Greenhouse", "Irrigation pump", "Seed and fertiliser"),
    "LOGBOOK": ("Working capital", "A tender to deliver", "Vehicle repair", "Stock for December"),
    "SOKO": ("Vegetables", "Fish", "Fruit", "Second-hand shoes", "Cereals"),
}
REJECTIONS = (
    "Another lender's loan is 60 days in arrears on the CRB report.",
    "The M-Pesa statement shows an income below three times the instalment.",
    "The shop could not be found at the address given.",
    "The guarantor withdrew consent.",
    "The logbook is charged to a bank already.",
)
WITHDRAWALS = (
    "The customer found the money in the family.",
    "The customer took a loan from the chama instead.",
    "The customer wants a smaller amount next month.",
)
