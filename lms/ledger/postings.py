"""What each event books: the one table of debits and credits.

An entry's kind names its event; each of its transfers is one of the pairs below, from any account
of the left cell to any of the right. `money` stands for 1010 1011 1020 1021 1022 1030 1040, `any`
for every account. An entry `…_reversal` mirrors its event: there the sides are swapped.
An account of a posting profile is listed as the common one that it stands for.
tests/postings.py reads this table and holds every entry of every test to it.

event                | what                                 | debit          | credit
---------------------+--------------------------------------+----------------+--------------------
receipt              | money received                       | money          | 2010
receipt              | received in another branch's drawer  | 1160           | 2010
receipt              | paid by a new loan                   | 1150           | 2010
receipt              | paid before the takeover             | 3900           | 2010
receipt              | referral reward                      | 5070           | 2010
allocation           | paid on a loan, by component         | 2010           | 1110 1120 1130 1140
allocation           | credit used, by component            | 2020           | 1110 1120 1130 1140
allocation           | what is over                         | 2010           | 2020
allocation           | interest earned as it is paid        | 2040           | 4010
allocation           | interest let out of suspense         | 2050           | 4010
allocation           | interest earned before a takeover    | 2040           | 3900
allocation           | held by another branch               | 2010 2020      | 1160
allocation           | and received from it                 | 1160           | 2010 2020
recovery             | held by another branch               | 2010           | 1160
recovery             | and received from it                 | 1160           | 2010
recovery             | paid on a loan written off           | 2010           | 4040 2020
upfront              | fees before disbursement, excise     | 2010           | 4020 2030
upfront              | what is over                         | 2010           | 2020
upfront              | held by another branch               | 2010           | 1160
upfront              | and received from it                 | 1160           | 2010
upfront_credit       | held by another branch               | 2020           | 1160
upfront_credit       | and received from it                 | 1160           | 2020
upfront_credit       | these fees given back as credit      | 4020 2030      | 2020
refund               | customer credit paid back            | 2020           | money 1160 2025
payout_arrived       | Safaricom paid it                    | 2025           | 1021
payout_late          | paid after it had been taken back    | 1050           | 1021
payout_taken_up      | such money, for what it was sent for | 2025           | 1050 1160
payout_taken_up      | held by another branch               | 1160           | 1050
disbursement         | paid out to the customer             | 1110           | money 1160 2025
disbursement         | interest of the schedule             | 1120           | 2040
disbursement         | interest that grace makes principal  | 1110           | 2045
disbursement         | fee deducted or added, its excise    | 1110           | 4020 2030
disbursement         | fee billed, its excise               | 1130           | 4020 2030
disbursement         | the old loan paid off                | 1110           | 1150
disbursement_undone  | all that is still booked for it      | any            | any
tranche              | as a disbursement                    | 1110           | money 1160
tranche              | interest of the schedule             | 1120           | 2040
tranche              | interest that falls away             | 2040           | 1120
tranche              | earned by time, to be earned anew    | 4010 2050      | 2040
tranche              | earned by what was paid              | 2040           | 4010
tranche              | rebate of capitalised interest       | 2045           | 1110
tranche              | and more of it                       | 1110           | 2045
top_up               | as a disbursement                    | 1110           | money 1160
top_up               | interest of the schedule             | 1120           | 2040
top_up               | interest that falls away             | 2040           | 1120
top_up               | earned by time, to be earned anew    | 4010 2050      | 2040
top_up               | earned by what was paid              | 2040           | 4010
top_up               | rebate of capitalised interest       | 2045           | 1110
top_up               | and more of it                       | 1110           | 2045
takeover             | principal taken over                 | 1110           | 3900
takeover             | interest of its schedule             | 1120           | 2040
takeover             | interest that grace makes principal  | 1110           | 2045
schedule_import      | a schedule brought by file           | 1110 1130 1140 | 3900
schedule_import      | its interest                         | 1120           | 2040
schedule_import      | less of it                           | 3900           | 1110 1130 1140
schedule_import      | less interest                        | 2040           | 1120
accrual              | interest earned by a day             | 2040           | 4010 2050
accrual              | earned interest into suspense        | 4010           | 2050
accrual              | earned before, and not by now        | 4010 2050      | 2040
accrual              | let out of suspense                  | 2050           | 4010
penalty              | charged for lateness                 | 1140           | 4030
penalties            | charged for lateness in a night      | 1140           | 4030
in_duplum            | penalties beyond the principal       | 5010           | 1140
in_duplum            | interest beyond the principal        | 2040           | 1120
waiver               | principal given up                   | 5020           | 1110
waiver               | interest given up                    | 2040           | 1120
waiver               | fees, penalties given up             | 5010           | 1130 1140
waiver               | given up before the takeover         | 3900           | 1110 1130 1140
rebate               | interest of an early settlement      | 2040           | 1120
rebate               | capitalised interest not earned      | 2045           | 1110
cancellation         | instalment cancelled: interest       | 2040           | 1120
cancellation         | instalment cancelled: fees           | 5010           | 1130
cancellation         | instalment cancelled: penalties      | 4030           | 1140
recalculation        | interest by the actual balance       | 1120           | 2040
recalculation        | less than was planned                | 2040           | 1120
instalment           | interest raised by hand              | 1120           | 2040
instalment           | interest lowered                     | 2040           | 1120
instalment           | fees raised                          | 1130           | 4020
instalment           | fees lowered                         | 4020           | 1130
reschedule           | interest of the days added           | 1120           | 2040
prepayment           | interest saved                       | 2040           | 1120
prepayment           | interest that rounding adds          | 1120           | 2040
prepayment           | earned by time, to be earned anew    | 4010 2050      | 2040
prepayment           | earned by what was paid              | 2040           | 4010
restructure          | interest that falls away             | 2040           | 1120
restructure          | new interest                         | 1120           | 2040
restructure          | arrears made principal               | 1110           | 1120 1130 1140
restructure          | their interest, not yet earned       | 2040           | 2045
restructure          | earned by time, to be earned anew    | 4010 2050      | 2040
restructure          | earned by what was paid              | 2040           | 4010
restructure          | rebate of capitalised interest       | 2045           | 1110
restructure          | and more of it                       | 1110           | 2045
capitalised_interest | earned once the loan is paid back    | 2045           | 4010
capitalised_interest | and owed again after all             | 4010           | 2045
capitalised_interest | given up with what is owed           | 2045           | 5020
capitalised_interest | and owed again after all             | 5020           | 2045
write_off            | principal the allowance covers       | 1190           | 1110
write_off            | principal beyond, fees, penalties    | 5020           | 1110 1130 1140
write_off            | interest unearned or in suspense     | 2040 2050      | 1120
write_off            | interest that was earned             | 5020           | 1120
provision            | more allowance                       | 5030           | 1190
provision            | less allowance                       | 1190           | 5030
branch_transfer      | a loan moves: out of the old branch  | 1160           | any
branch_transfer      | a loan moves: into the new branch    | any            | 1160
drawer               | float out of the vault               | 1011           | 1010
drawer               | drawer over                          | 1011           | 4050
drawer               | drawer short                         | 5060           | 1011
drawer               | back to the vault                    | 1010           | 1011
drawer_vault         | cash taken over from the vault       | 1011           | 1010
drawer_vault         | and back                             | 1010           | 1011
drawer_crossing      | cash for another branch              | 1011           | 1160
drawer_crossing      | and out of it                        | 1160           | 1011
till_transfer        | cash sent to a colleague             | 1045           | 1011
till_transfer        | accepted, or taken back              | 1011           | 1045
banking              | cash on its way to the bank          | 1045           | 1010 1011
banking              | confirmed by the bank                | 1030           | 1045
banking              | brought back                         | 1010 1011      | 1045
funds_transfer       | own money between accounts           | money          | money
funds_transfer       | its charge                           | 5040 5050      | money
charge_paid          | a charge on a statement              | 5040 5050      | money
cheque_cleared       | a cheque's money is in the bank      | 1030           | 1040
own_transfer         | own money, from its statement line   | money 1050     | money 1050
manual_journal       | typed by an accountant               | any            | any
year_end             | income of the year                   | any            | 3200
year_end             | expenses of the year                 | 3200           | any
"""
