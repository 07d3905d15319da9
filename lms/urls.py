"""Two doors: the admin for staff, one view for Daraja."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from lms import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("daraja/<str:secret>/<str:kind>/", views.daraja_callback, name="daraja"),
    path("healthz", views.healthz, name="healthz"),
]
